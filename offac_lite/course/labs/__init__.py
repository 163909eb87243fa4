"""The course's interactive labs, a module each: thin meetings of a computation, a view from `plots`, and `lab.Lab`."""

from offac_lite.course.labs.baseline import SHARES, BaselineModel, BaselineResult, baseline_lab
from offac_lite.course.labs.clinic import ClinicModel, ClinicResult, clinic_lab
from offac_lite.course.labs.continuous import ContinuousModel, ContinuousResult, continuous_lab
from offac_lite.course.labs.critic import CriticModel, CriticResult, critic_lab
from offac_lite.course.labs.dashboard import Dashboard, History
from offac_lite.course.labs.replay import AgeModel, AgeResult, BufferModel, BufferResult, age_lab, buffer_lab
from offac_lite.course.labs.variance import AGES, VARIANCE_KS, VarianceModel, VarianceResult, variance_lab
from offac_lite.course.labs.watch import Album, MapModel, MapResult, WatchModel, WatchResult, map_lab, watch_lab
from offac_lite.course.labs.weights import WeightsModel, WeightsResult, weights_lab

__all__ = [
    "AGES",
    "SHARES",
    "VARIANCE_KS",
    "AgeModel",
    "AgeResult",
    "Album",
    "BaselineModel",
    "BaselineResult",
    "BufferModel",
    "BufferResult",
    "ClinicModel",
    "ClinicResult",
    "ContinuousModel",
    "ContinuousResult",
    "CriticModel",
    "CriticResult",
    "Dashboard",
    "History",
    "MapModel",
    "MapResult",
    "VarianceModel",
    "VarianceResult",
    "WatchModel",
    "WatchResult",
    "WeightsModel",
    "WeightsResult",
    "age_lab",
    "baseline_lab",
    "buffer_lab",
    "clinic_lab",
    "continuous_lab",
    "critic_lab",
    "map_lab",
    "variance_lab",
    "watch_lab",
    "weights_lab",
]
