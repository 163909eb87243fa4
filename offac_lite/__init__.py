"""offac_lite: how an actor-critic learns from old data."""
