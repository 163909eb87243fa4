"""Figures for the notebooks, and the views of the labs. They share one palette, and none uses pyplot."""

# ruff: noqa: F403
from offac_lite.course.plots.agents import *
from offac_lite.course.plots.base import *
from offac_lite.course.plots.baseline import *
from offac_lite.course.plots.cart_pole import *
from offac_lite.course.plots.clinic import *
from offac_lite.course.plots.cloud import *
from offac_lite.course.plots.continuous import *
from offac_lite.course.plots.critic import *
from offac_lite.course.plots.dashboard import *
from offac_lite.course.plots.diagrams import *
from offac_lite.course.plots.evidence import *
from offac_lite.course.plots.exact import *
from offac_lite.course.plots.fixed_data import *
from offac_lite.course.plots.fixes import *
from offac_lite.course.plots.lake import *
from offac_lite.course.plots.learning import *
from offac_lite.course.plots.replay import *
from offac_lite.course.plots.stability import *
from offac_lite.course.plots.style import *
from offac_lite.course.plots.tree import *
from offac_lite.course.plots.variance import *
from offac_lite.course.plots.watch import *
from offac_lite.course.plots.weights import *
