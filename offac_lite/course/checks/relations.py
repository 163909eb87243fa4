"""What wrong numbers show of themselves, where no known mistake gives exactly these: words that are true of them."""

import inspect
from collections.abc import Callable, Mapping, Sequence

import torch

from offac_lite.course.checks.observing import Observations, Observer, close, same
from offac_lite.course.checks.tables import SPOKEN


def spoken_arguments(plain: Callable, observe: Callable, spoken: Mapping[str, str] | None) -> list[str | None]:
    """Name the arguments that the observed cases hold; None stands for one that a student has no name for."""
    names = getattr(observe, "names", None) or inspect.signature(plain).parameters
    return [(SPOKEN | dict(spoken or {})).get(name, name) for name in names]


def shapes(plain: Callable, observe: Callable) -> str:
    """Name the shapes of the arguments in the first case."""
    if not isinstance(observe, Observer) or not observe.probes:
        return ""
    names, given = inspect.signature(plain).parameters, next(iter(observe.cases.values()))
    said = [f"{n} is {tuple(x.shape)}" for n, x in zip(names, given, strict=False) if isinstance(x, torch.Tensor)]
    return f". In the first case {', '.join(said)}" if said and len(names) == len(given) else ""


# ---------------------------------------------------------------------------------------- shapes, dtypes, chance


def gradients_of(right: Observations) -> Observations:
    """Return the observations that are gradients."""
    return {k: v for k, v in right.items() if "gradient" in k}


def usable(seen: Observations, right: Observations) -> bool:
    """Tell whether all has the right shape and is finite."""
    return all(k in seen and seen[k].shape == v.shape and torch.isfinite(seen[k]).all() for k, v in right.items())


def other_dtype(seen: Observations, right: Observations) -> str | None:
    """Say that the numbers are right, and their dtype is not."""
    for key, wanted in right.items():
        if "gradient" not in key and wanted.ndim and seen[key].dtype != wanted.dtype:
            return (
                f"the numbers are correct, but {key} is {str(seen[key].dtype)[6:]}, and {str(wanted.dtype)[6:]} is "
                "wanted, as of the arguments: the code that uses it next refuses another dtype"
            )
    return None


def no_flags(seen: Observations, right: Observations) -> str | None:
    """Say that numbers stand where true or false is wanted."""
    for key, wanted in right.items():
        if wanted.dtype == torch.bool and seen[key].dtype != torch.bool:
            return f"true or false is wanted in every place, and {key} holds numbers ({str(seen[key].dtype)[6:]})"
    return None


def other_shape(seen: Observations, right: Observations) -> str:
    """Name the first wrong shape."""
    for key, wanted in right.items():
        if seen[key].shape != wanted.shape:
            return f"{key} has shape {tuple(seen[key].shape)}, and {tuple(wanted.shape)} is wanted"
    return ""


def shape_reason(seen: Observations, right: Observations) -> str:
    """Say what the first wrong shape hints at."""
    key = next(k for k in right if seen[k].shape != right[k].shape)
    yours, wanted = seen[key], right[key]
    if yours.ndim > wanted.ndim and yours.numel() > wanted.numel() > 1:
        return ": two tensors of different shapes were broadcast against each other"
    if yours.ndim > wanted.ndim and yours.numel() == wanted.numel():
        return ": there is an axis of 1 too many"
    if yours.ndim < wanted.ndim:
        return ": an axis is gone that has to stay"
    return ": the axes are in another order" if yours.numel() == wanted.numel() else ": the number of entries differs"


def changing(observe: Callable, function: Callable, seen: Observations) -> str | None:
    """Say that a function gives other numbers when it is called again."""
    try:
        same_again = all(same(observe(function), seen) for _ in range(3))  # once may be by chance
    except Exception:
        return "your function stops when it is called again with the same arguments"
    if same_again:
        return None
    return "your function gives other numbers each time: it draws at random, or keeps something from call to call"


# ------------------------------------------------------------------------------------- zero, a factor, a constant


def no_gradient(seen: Observations, right: Observations) -> str | None:
    """Say that no gradient arrives where one is wanted, with all causes there may be."""
    for key, wanted in right.items():
        what = key.split(" (")[0]
        if "gradient" in key and wanted.any() and not any(seen[k].any() for k in seen if k.startswith(what)):
            return (
                f"{what} is zero: either it is cut on the way (detach, no_grad, .data, a whole number), or nothing in "
                "your result depends on it, or its terms cancel (as the weights of a state do that add up to zero)"
            )
    return None


def factors(seen: Observations, wanted: Observations) -> dict[str, float] | None:
    """Return by which factor each observation differs from the wanted one; None where one is no multiple."""
    found = {}
    for key, y in wanted.items():
        x, y = seen[key].double(), y.double()
        if x.shape != y.shape:
            return None
        if not y.any():
            if x.any():
                return None
            continue
        c = ((x * y).sum() / y.square().sum()).item()
        if not close(x, c * y, 1e-3).all() or abs(c) < 1e-6:
            return None
        found[key] = c
    return found or None


def shares(seen: Observations, right: Observations, other: Observations) -> bool:
    """Tell whether what was seen is the right answer and some of what the other one adds to it."""
    if not right.keys() <= other.keys() or any(seen[k].shape != v.shape for k, v in right.items()):
        return False
    yours, added = (
        torch.cat([(x[k].double() - v.double()).flatten() for k, v in right.items()]) for x in (seen, other)
    )
    c = (yours * added).sum() / added.square().sum()
    return bool(close(yours, c * added, 1e-3, 1e-5).all()) and abs(c) > 1e-5


def said_of(c: float, what: str = "what it should be") -> str:
    """Put a factor into words."""
    if abs(c + 1) < 1e-3:
        return "every number has the opposite sign"
    sign = "has the opposite sign and " if c < 0 else ""
    size = abs(c)
    times = f"{size:.3g} times" if size > 1 or size < 0.01 else f"{size:.3g} of"
    return f"every number {sign}is {times} {what}"


def everywhere(seen: Observations, right: Observations) -> str | None:
    """Say that the result is the same number everywhere, where it should not be: many mistakes give that."""
    values = {k: v for k, v in right.items() if "gradient" not in k}
    if not values or any(seen[k].shape != v.shape for k, v in values.items()):
        return None
    yours, wanted = (torch.cat([x[k].double().flatten() for k in values]) for x in (seen, right))
    if len(yours) < 3 or not close(yours, yours[0]).all() or close(wanted, wanted[0]).all():
        return None
    if all(v.dtype == torch.bool for v in values.values()):
        one, other = ("true", "false") if yours[0] else ("false", "true")
        return f"your answer is {one} everywhere, also where it should be {other}"
    if not yours.any():
        return "every number is 0: is it rounded down to a whole number, limited to 0, or multiplied by 0?"
    return f"every number is {yours[0]:.4g}, in all cases"


def multiple(seen: Observations, right: Observations) -> str | None:
    """Say that the result is a multiple of the right one, or off by a constant."""
    values = {k: v for k, v in right.items() if v.dtype != torch.bool}
    if sum(v.numel() for v in values.values()) < 2 * len(values) or not values:
        return None
    if found := factors(seen, values):
        off = {k: c for k, c in found.items() if abs(c - 1) > 1e-3}
        if off and len(off) < len(found) and max(off.values()) - min(off.values()) < 1e-3:
            return f"right elsewhere, but in {' and '.join(off)} {said_of(next(iter(off.values())))}"
        some = list(found.values())
        if max(some) - min(some) < 1e-3 * abs(some[0]):
            return said_of(some[0])
        if all(abs(c) > 1 for c in some):
            return (
                f"all is in proportion, but {min(some, key=abs):.3g} to {max(some, key=abs):.3g} times too large: "
                "a factor that depends on the size of the batch, as with a sum in the place of a mean"
            )
        if all(abs(c) < 1 for c in some):
            return (
                "all is in proportion, but too small by a factor that depends on the case: as if you divided by a "
                "number once too often"
            )
        return "all is in proportion, but each case by another factor: one that should not be there, or is missing"
    wrong = {k: v for k, v in values.items() if not same(seen, {k: v})}
    if any(seen[k].shape != v.shape for k, v in wrong.items()):
        return None
    differences = torch.cat([(seen[k].double() - v.double()).flatten() for k, v in wrong.items()])
    if len(differences) > 2 and close(differences, differences[0], 1e-3, 1e-8).all():
        what = "" if len(wrong) == len(values) else f" in {' and '.join(wrong)}, and all else is right"
        return f"every number is off by {differences[0].item():+.3g}{what}"
    return None


# --------------------------------------------------------------------------------- where it differs, on what it hangs


def where(observe: Observer, names: list[str | None], seen: Observations, right: Observations) -> str | None:
    """Say at which entries it is wrong, in terms of an argument, if that holds in all cases."""
    wrong = [k for k, v in right.items() if not same(seen, {k: v})]
    for what in dict.fromkeys(
        k.removesuffix(case).strip() for k in wrong for case in observe.cases if k.endswith(case)
    ):
        keys = {case: f"{what} {case}".strip() for case in observe.cases}
        keys = {case: key for case, key in keys.items() if key in right}
        if not keys or any(seen[k].shape != right[k].shape for k in keys.values()):
            continue
        off = torch.cat([~close(seen[k], right[k]).flatten() for k in keys.values()])
        columns = []
        for i in range(len(names)):  # an argument counts if it has an entry for each of the result's
            given = [observe.cases[case][i] for case in keys]
            fits = all(getattr(x, "shape", None) == right[k].shape for x, k in zip(given, keys.values(), strict=True))
            columns.append(torch.cat([x.flatten() for x in given]) if fits else None)
        if 0 < off.sum() < off.numel() and (words := _in_terms_of(off, names, columns)):
            return f"your numbers are wrong exactly where {words}, and right elsewhere"
    return None


def _in_terms_of(off: torch.Tensor, names: list[str | None], given: Sequence) -> str | None:
    """Say where a mask is true, in terms of the arguments."""
    pairs = [(n, x) for n, x in zip(names, given, strict=False) if n and isinstance(x, torch.Tensor)]
    flags = {n: x for n, x in pairs if x.dtype == torch.bool}
    if len(flags) > 1 and all(x.shape == off.shape for x in flags.values()):
        rows, others = (
            {tuple(x[tuple(place)].item() for x in flags.values()) for place in mask.nonzero().tolist()}
            for mask in (off, ~off)
        )
        said = [
            " and ".join(f"{n} is {str(v).lower()}" for n, v in zip(flags, row, strict=True)) for row in sorted(rows)
        ]
        return None if rows & others else ", or ".join(said)
    for name, x in sorted(pairs, key=lambda pair: pair[1].dtype != torch.bool):  # flags first
        if x.shape == off.shape:
            tests = (
                {"is true": x, "is false": ~x}
                if x.dtype == torch.bool
                else {"is negative": x < 0, "is positive": x > 0}
            )
            for words, test in tests.items():
                if test.equal(off):
                    return f"{name} {words}"
    return None


def cases(seen: Observations, right: Observations, given: Mapping) -> str | None:
    """Say which cases are right and which are wrong."""
    wrong = [k for k, v in right.items() if not same(seen, {k: v})]
    bad = [case for case in given if case and any(k.endswith(case) for k in wrong)]
    good = [case for case in given if case and case not in bad]
    if good and bad:
        return f"your function is right {' and '.join(good)}, and wrong {' and '.join(bad)}"
    return None


def unused(observe: Observer, names: list[str | None], function: Callable, right: Callable) -> str | None:
    """Name an argument that the result should depend on, and does not in any case."""
    first = next(iter(observe.cases.values()))
    for i, name in enumerate(names[: len(first)]):
        found = []
        for given in observe.cases.values() if name else ():
            try:
                yours, wanted = (_depends(observe, f, given, i) for f in (function, right))
                if yours is not None and wanted is not None and wanted.any():
                    found.append(bool(yours.any()) or not _ignores(observe, function, given, i))
            except Exception:  # a variation that one of the two cannot take
                continue
        if found and not any(found):
            return f"{next(iter(observe.one(right, *first)))} does not depend on {name}: it should"
    return None


def dependence(observe: Observer, names: list[str | None], function: Callable, right: Callable) -> str | None:
    """Vary one entry of one argument at a time; say where the result depends on another entry than it should."""
    said = None
    for case, given in observe.cases.items():
        for i, name in enumerate(names[: len(given)]):
            try:
                yours, wanted = (_depends(observe, f, given, i) for f in (function, right) if name)
                if yours is None or wanted is None or yours.shape != wanted.shape:
                    continue
                ignored = wanted.any() and not yours.any() and _ignores(observe, function, given, i)
            except Exception:  # a variation that one of the two cannot take
                continue
            what, result = next(iter(observe.one(right, *given).items()))
            place = f" {case}".rstrip()
            if ignored:
                return f"{what} does not depend on {name}{place}: it should"
            if yours.any() and not wanted.any():
                return f"{what} depends on {name}{place}, and should not"
            more = yours & ~wanted
            if said is None and more.any():
                if _at_its_own(more, given[i], result.shape):
                    said = f"some entries of {what} depend on {name}{place} where they should not"
                elif isinstance(given[i], torch.Tensor):
                    said = (
                        f"an entry of {what} depends on {name} at other places than its own{place}: states, actions "
                        "or seeds that have nothing to do with each other are mixed"
                    )
                elif words := _in_terms_of(more[0].reshape(result.shape), names, given):
                    said = f"{what} depends on {name} where {words}{place}, and should not"
            if said is None and (wanted & ~yours).any():
                said = f"some entries of {what} do not depend on {name}{place} where they should"
                if result.numel() == 1:
                    said = f"{what} does not depend on every entry of {name}{place}: it should"
    return said


def _depends(observe: Observer, function: Callable, given: tuple, i: int) -> torch.Tensor | None:
    """Tell which entries of the first observation change with each entry of argument i, as a matrix."""
    base = next(iter(observe.one(function, *given).values())).double()
    rows = []
    for varied in _variations(given[i]):
        now = next(iter(observe.one(function, *given[:i], varied, *given[i + 1 :]).values())).double()
        rows.append(~close(now, base, 1e-5, 1e-7).flatten())
    return torch.stack(rows) if rows else None


def _ignores(observe: Observer, function: Callable, given: tuple, i: int) -> bool:
    """Tell whether nothing changes even when all entries of argument i change together."""
    x = given[i]
    if not isinstance(x, torch.Tensor):
        return True
    if x.dtype == torch.bool:
        together = [~x, torch.zeros_like(x), torch.ones_like(x)]
    elif x.is_floating_point():
        together = [0.5 * x + 0.3, x.flip(0), x.flip(-1), x + 3 * x.abs().max(), x - 3 * x.abs().max()]
    else:
        together = [(x + 1) % (x.max() + 1), x.flip(0), x.flip(-1)]
    base = observe.one(function, *given)
    return all(same(observe.one(function, *given[:i], new, *given[i + 1 :]), base) for new in together)


def _at_its_own(more: torch.Tensor, given, shape: torch.Size) -> bool:
    """Tell whether only entries of an argument matter that belong to the same entry of the result."""
    if not isinstance(given, torch.Tensor) or given.shape[: len(shape)] != shape:
        return False
    of_each = more.reshape(shape.numel(), -1, shape.numel()).any(1)
    return not (of_each & ~torch.eye(len(of_each), dtype=torch.bool)).any()


def _variations(x) -> list:
    if isinstance(x, float):
        return [0.8 * x + 0.05]
    if isinstance(x, tuple) and all(isinstance(v, int | float) for v in x):  # a column of numbers
        return [tuple(v * 2 if j == k else v for k, v in enumerate(x)) for j in range(len(x))]
    if not isinstance(x, torch.Tensor) or x.numel() > 24:
        return []
    varied = []
    for j in range(x.numel()):
        new = x.detach().clone()
        flat = new.view(-1)
        if x.is_floating_point():
            flat[j] = 0.5 * flat[j] + 0.3
        else:
            flat[j] = ~flat[j] if x.dtype == torch.bool else (flat[j] + 1) % (x.max() + 1)
        varied.append(new)
    return varied


def example(observe: Observer, names: list[str], seen: Observations, right: Observations) -> str:
    """Give one set of arguments for which the result is wrong, for a function of numbers."""
    for case, given in observe.cases.items():
        key = next(k for k in right if k.endswith(case))
        columns = all(isinstance(column, tuple) for column in given)
        if not (columns or all(isinstance(x, int | float) for x in given)) or seen[key].shape != right[key].shape:
            return ""
        off = (~close(seen[key], right[key])).flatten().nonzero().flatten().tolist()
        if off:
            j = off[0]
            row = ", ".join(f"{name} = {x[j] if columns else x:g}" for name, x in zip(names, given, strict=True))
            yours, wanted = seen[key].flatten()[j], right[key].flatten()[j]
            return f". For {row}, yours is {yours:.4g} where {wanted:.4g} is wanted"
    return ""
