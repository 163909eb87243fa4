"""The clinic of notebook 07 and More patients: an agent made of parts, and agents in which one part is broken."""

# ruff: noqa: F403
from offac_lite.course.clinic.examination import *
from offac_lite.course.clinic.parts import *
from offac_lite.course.clinic.patients import *
from offac_lite.course.clinic.readings import *
from offac_lite.course.clinic.storing import *
from offac_lite.course.clinic.tabular import *
from offac_lite.course.clinic.training import *
