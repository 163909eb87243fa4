"""The course's interactive labs, a module each: thin meetings of a computation, a view from `plots`, and `lab.Lab`."""

from offac_lite.labs.variance import AGES, VARIANCE_KS, VarianceModel, VarianceResult, variance_lab

__all__ = ["AGES", "VARIANCE_KS", "VarianceModel", "VarianceResult", "variance_lab"]
