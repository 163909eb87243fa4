"""The clinic of notebook 07: an off-policy actor-critic in seven parts, and agents in which one part is broken."""

# ruff: noqa: F403
from offac_lite.course.clinic.parts import *
from offac_lite.course.clinic.patients import *
from offac_lite.course.clinic.tabular import *
from offac_lite.course.clinic.training import *
