"""The course's interactive labs: each is a computation, a view from `plots`, and controls for both."""

# ruff: noqa: F403
from offac_lite.course.labs.baseline import *
from offac_lite.course.labs.clinic import *
from offac_lite.course.labs.continuous import *
from offac_lite.course.labs.critic import *
from offac_lite.course.labs.dashboard import Dashboard as Dashboard
from offac_lite.course.labs.fixed_data import *
from offac_lite.course.labs.learning import *
from offac_lite.course.labs.old_data import *
from offac_lite.course.labs.replay import *
from offac_lite.course.labs.variance import *
from offac_lite.course.labs.variance_model import *
from offac_lite.course.labs.watch import *
from offac_lite.course.labs.weights import *
