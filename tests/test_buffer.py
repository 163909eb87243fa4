"""The replay buffer against a plain list of transitions, and what it must refuse."""

import copy
import pickle

import numpy as np
import pytest
import torch

from offac_lite.buffer import ReplayBuffer, Transition


def transitions(count, obs_shape=(3,), action_shape=(), start=0, lead=()):
    """Rows numbered from `start`, each recognisable in every field: a dict of arrays of shape (*lead, count, ...)."""
    number = np.arange(start, start + count * int(np.prod(lead, dtype=int))).reshape(*lead, count)
    expand = (..., *[None] * len(obs_shape))
    obs = (number[expand] + np.arange(np.prod(obs_shape, dtype=int)).reshape(obs_shape) / 8).astype(np.float32)
    action = number % 5
    if action_shape:
        action = np.broadcast_to(action[(..., *[None] * len(action_shape))] / 4, (*lead, count, *action_shape))
    return {
        "obs": obs,
        "action": action,
        "reward": number * 0.5,
        "next_obs": obs + 1000.0,
        "terminated": number % 3 == 0,
        "log_prob": -0.25 * (number % 7),
    }


def pick(rows, index):
    return {name: value[index] for name, value in rows.items()}


def check_rows(batch, rows):
    """Every field of `batch` equals that of `rows`, exactly."""
    for name, value in rows.items():
        np.testing.assert_array_equal(getattr(batch, name).numpy(), value, err_msg=name)


def snapshot(buffer):
    """All of the buffer's memory and state, byte for byte."""
    return buffer._memory.tobytes(), buffer._added.tobytes(), buffer._generator.get_state().numpy().tobytes()


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize("sizes", [[1] * 3, [1] * 17, [4, 3], [4, 3, 5, 2], [7, 7], [6, 1, 7]])
@pytest.mark.parametrize(("obs_shape", "action_shape"), [((3,), ()), ((), ()), ((2, 3), (2,)), ((1,), (2, 2))])
def test_ring_keeps_the_newest_in_order(sizes, obs_shape, action_shape, as_tensors):
    buffer, rows = ReplayBuffer(7, obs_shape, action_shape), transitions(sum(sizes), obs_shape, action_shape)
    done = 0
    for size in sizes:
        part = pick(rows, done if size == 1 else slice(done, done + size))
        if as_tensors:
            part = {name: torch.as_tensor(np.array(value)) for name, value in part.items()}
        buffer.add(**part)
        done += size
        kept = min(done, 7)
        assert len(buffer) == kept
        everything = buffer.all()
        check_rows(everything, pick(rows, slice(done - kept, done)))
        assert everything.age.tolist() == list(range(kept))[::-1]


def test_plain_numbers_lists_and_gradients_are_accepted():
    buffer = ReplayBuffer(5, (2,))
    buffer.add([0.0, 1.0], 3, 1, [2, 3], True)
    weight = torch.ones(2, requires_grad=True)
    buffer.add(weight * 2, torch.tensor(1), weight.sum(), np.zeros(2), np.bool_(False), (weight * -1.0).sum())
    batch = buffer.all()
    assert not any(field.requires_grad for field in batch)
    assert batch.action.tolist() == [3, 1] and batch.reward.tolist() == [1.0, 2.0]
    assert batch.terminated.tolist() == [True, False]
    assert torch.isnan(batch.log_prob[0]) and batch.log_prob[1] == -2.0
    weight.data.fill_(9.0)
    assert buffer.all().obs[1].tolist() == [2.0, 2.0], "the buffer must hold copies"


@pytest.mark.parametrize("n_seeds", [None, 3])
def test_valid_leaves_rows_out_and_rings_drift_apart(n_seeds):
    capacity, rng = 6, np.random.default_rng(0)
    buffer = ReplayBuffer(capacity, (3,), n_seeds=n_seeds)
    kept = [[] for _ in range(n_seeds or 1)]
    for turn in range(12):
        rows = transitions(4, start=100 * turn, lead=(n_seeds or 1,))
        valid = rng.random((n_seeds or 1, 4)) < [[0.9], [0.2], [0.6]][: n_seeds or 1]
        rows["obs"][~valid] = np.nan  # what is not stored need not be finite
        buffer.add(**(rows if n_seeds else pick(rows, 0)), valid=valid if n_seeds else valid[0])
        for ring, (s, b) in ((s, (s, b)) for s in range(n_seeds or 1) for b in range(4)):
            if valid[s, b]:
                kept[ring].append(pick(rows, (s, b)))
        assert buffer.lengths == [min(len(ring), capacity) for ring in kept]
        for s, ring in enumerate(kept):
            newest = ring[-capacity:]
            check_rows(buffer.all(s), {name: np.array([r[name] for r in newest]) for name in rows} if newest else {})
    assert len({len(ring) for ring in kept}) == (n_seeds or 1)
    assert len(buffer) == min(buffer.lengths)


def test_one_transition_alone_can_be_left_out():
    buffer, rows = ReplayBuffer(4, (3,)), transitions(2)
    for i, valid in enumerate((False, True)):
        buffer.add(**pick(rows, i), valid=valid)
    check_rows(buffer.all(), pick(rows, slice(1, 2)))


def test_two_hundred_thousand_transitions_and_seed_zero_unless_told():
    silent, told = ReplayBuffer(), ReplayBuffer(200_000, seed=0)
    assert silent.capacity == told.capacity
    for buffer in (silent, told):
        buffer.add(**transitions(50, ()))
    assert torch.equal(silent.sample(50).obs, told.sample(50).obs)


def test_one_transition_per_seed_and_batches_agree():
    rows = transitions(6, lead=(2,))
    one, many = ReplayBuffer(4, (3,), n_seeds=2), ReplayBuffer(4, (3,), n_seeds=2)
    for t in range(6):
        one.add(**pick(rows, (slice(None), t)))
    many.add(**pick(rows, (slice(None), slice(0, 2))))
    many.add(**pick(rows, (slice(None), slice(2, 6))))
    check_rows(one.all(), pick(rows, (slice(None), slice(2, 6))))
    check_rows(many.all(), pick(rows, (slice(None), slice(2, 6))))
    assert one.all().age.tolist() == [[3, 2, 1, 0]] * 2


@pytest.mark.parametrize("obs_dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize("action_dtype", [torch.float32, torch.int64])
def test_dtypes_and_shapes_of_samples(obs_dtype, action_dtype):
    buffer = ReplayBuffer(50, (2,), (3,), n_seeds=2, obs_dtype=obs_dtype, action_dtype=action_dtype)
    rows = {"obs": torch.ones(2, 9, 2, dtype=obs_dtype), "action": torch.ones(2, 9, 3, dtype=action_dtype)}
    buffer.add(**rows, reward=torch.ones(2, 9), next_obs=rows["obs"], terminated=torch.ones(2, 9).bool())
    batch = buffer.sample(5)
    assert isinstance(batch, Transition)
    assert [tuple(field.shape) for field in batch] == [(2, 5, 2), (2, 5, 3), (2, 5), (2, 5, 2), *[(2, 5)] * 3]
    wanted = [obs_dtype, action_dtype, torch.float32, obs_dtype, torch.bool, torch.float32, torch.int64]
    assert [field.dtype for field in batch] == wanted
    before = snapshot(buffer)
    for field in batch:
        field.zero_()
    assert snapshot(buffer) == before, "a sample must not share memory with the buffer"


def test_integers_of_int32_come_back_exactly():
    buffer, numbers = ReplayBuffer(5, (), obs_dtype=torch.int64), [2**31 - 1, -(2**31), 2**24 + 1]
    for number in numbers:
        buffer.add(number, number, 0.0, number, False)
    assert buffer.all().obs.tolist() == buffer.all().action.tolist() == buffer.all().next_obs.tolist() == numbers


def test_the_largest_numbers_of_float32_are_finite():
    largest = float(np.finfo(np.float32).max)
    buffer = ReplayBuffer(5, (), action_dtype=torch.float32)
    buffer.add(largest, -largest, largest, -largest, False, largest)
    batch = buffer.all()
    assert [field.item() for field in batch[:4]] == [largest, -largest, largest, -largest]
    assert batch.log_prob.item() == largest
    with pytest.raises(ValueError, match="^reward holds NaN"):
        buffer.add(largest, 0.0, float("nan"), 0.0, False)


def test_samples_are_whole_rows_drawn_uniformly_and_aged():
    rows, buffer = transitions(20, lead=(2,)), ReplayBuffer(12, (3,), n_seeds=2, seed=1)
    buffer.add(**pick(rows, (slice(None), slice(0, 12))))
    late = np.array([[False] * 8, [True] * 8])  # only the second ring wraps round
    buffer.add(**pick(rows, (slice(None), slice(12, 20))), valid=late)
    check_uniform(buffer, rows, newest=[11, 19])
    alone = ReplayBuffer(12, (3,), seed=2)
    alone.add(**pick(rows, (0, slice(0, 12))))
    check_uniform(alone, {name: value[:1] for name, value in rows.items()}, newest=[11])


def check_uniform(buffer, rows, newest, draws=100):
    counts = np.zeros((len(newest), 20), int)
    for _ in range(draws):
        batch = buffer.sample(12)
        for ring, last in enumerate(newest):
            fields = batch if buffer.n_seeds is None else Transition(*(field[ring] for field in batch))
            number = (fields.reward * 2).long().numpy() - 20 * ring
            check_rows(fields, pick(rows, (ring, number)))
            assert (last - number == fields.age.numpy()).all()
            counts[ring] += np.bincount(number, minlength=20)
    for seen, last in zip(counts, newest, strict=True):
        assert (seen > 0).sum() == 12 and seen[last] > 0
        chi_square = ((seen[seen > 0] - draws) ** 2 / draws).sum()
        assert chi_square < 31.3, "beyond the 99.9% quantile with 11 degrees of freedom"


@pytest.mark.parametrize("newest", [None, 400])
@pytest.mark.parametrize("n_seeds", [None, 2])
def test_sampling_uses_the_buffer_s_own_stream_or_the_generator_given(n_seeds, newest):
    def filled(seed):
        buffer = ReplayBuffer(500, (), n_seeds=n_seeds, seed=seed)
        number = np.broadcast_to(np.arange(500.0), (500,) if n_seeds is None else (n_seeds, 500))
        buffer.add(number, np.zeros(number.shape, int), number, number, np.zeros(number.shape, bool))
        return buffer

    state = torch.random.get_rng_state()
    first, second, third = filled(3), filled(3), filled(4)
    draws = [buffer.sample(100, newest=newest).obs for buffer in (first, second, third, first)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2]) and not torch.equal(draws[0], draws[3])
    own = first._generator.get_state()
    assert n_seeds is None or not torch.equal(*draws[0]), "each ring must draw numbers of its own"
    given = [first.sample(100, torch.Generator().manual_seed(8), newest=newest).obs for _ in range(2)]
    assert torch.equal(*given) and torch.equal(own, first._generator.get_state())
    assert torch.equal(state, torch.random.get_rng_state()), "the global random state must be left alone"


def test_a_seed_s_draws_do_not_depend_on_the_others_lengths():
    draws = []
    for keep in (True, False):
        buffer = ReplayBuffer(40, (3,), n_seeds=2, seed=2)
        valid = np.ones((2, 30), bool)
        valid[1, 10:] = keep
        buffer.add(**transitions(30, lead=(2,)), valid=valid)
        draws.append(buffer.sample(10).reward[0])
    assert torch.equal(*draws)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda buffer: pickle.loads(pickle.dumps(buffer))])
def test_a_copy_works_and_is_independent(duplicate):
    buffer, rows = ReplayBuffer(9, (3,)), transitions(8)
    buffer.add(**pick(rows, slice(0, 4)))
    twin = duplicate(buffer)
    assert torch.equal(buffer.sample(4).obs, twin.sample(4).obs)
    twin.add(**pick(rows, slice(4, 8)))
    assert (len(buffer), len(twin)) == (4, 8)
    check_rows(twin.all(), rows)


def test_memory_is_what_the_docstring_says_and_repr_shows_it():
    assert "9600000 bytes" in repr(ReplayBuffer(200_000, (4,)))
    buffer = ReplayBuffer(100, (3,), (2,), n_seeds=4)
    assert buffer._memory.nbytes == 4 * 4 * 100 * (2 * 3 + 2 + 3)
    text = "ReplayBuffer(0 of 100 transitions for each of 4 seeds, obs (3,) float32, action (2,) float32, 17600 bytes)"
    assert repr(buffer) == text
    assert repr(ReplayBuffer(9)) == "ReplayBuffer(0 of 9 transitions, obs () float32, action () int64, 216 bytes)"


@pytest.mark.parametrize("n_seeds", [None, 2])
def test_nothing_to_add_and_nothing_stored(n_seeds):
    buffer = ReplayBuffer(4, (3,), n_seeds=n_seeds)
    lead = () if n_seeds is None else (2,)
    for rows, valid in ((transitions(0, lead=lead), None), (transitions(3, lead=lead), np.zeros((*lead, 3), bool))):
        buffer.add(**rows, valid=valid)
        assert len(buffer) == 0 and buffer.all().obs.shape == (*lead, 0, 3)
    with pytest.raises(ValueError, match="n = 1 transitions requested, wanted at least 1 and at most the 0 stored"):
        buffer.sample(1)


def test_all_of_rings_of_different_lengths():
    buffer = ReplayBuffer(4, (3,), n_seeds=2)
    buffer.add(**transitions(3, lead=(2,)), valid=np.array([[True, False, True], [True, False, False]]))
    with pytest.raises(ValueError, match=r"different numbers of transitions, \[2, 1\]: read one with all\(index\)"):
        buffer.all()
    assert buffer.all(0).reward.tolist() == [0.0, 1.0] and buffer.all(1).reward.tolist() == [1.5]
    with pytest.raises(IndexError, match="^index must lie between -2 and 1, got 2"):
        buffer.all(2)


BAD_ROWS = [
    ("reward", np.zeros((5, 1)), ValueError, r"reward has shape \(5, 1\), wanted \(\) for one transition or \(B,\)"),
    ("terminated", np.zeros((5, 1), bool), ValueError, r"terminated has shape \(5, 1\), wanted \(5,\)"),
    ("log_prob", np.zeros((5, 1)), ValueError, r"log_prob has shape \(5, 1\), wanted \(5,\)"),
    ("action", np.zeros((5, 1), int), ValueError, r"action has shape \(5, 1\), wanted \(5,\)"),
    ("action", 1, ValueError, r"action has shape \(\), wanted \(5,\)"),
    ("obs", np.zeros((5, 4)), ValueError, r"obs has shape \(5, 4\), wanted \(5, 3\)"),
    ("obs", np.zeros((3,)), ValueError, r"obs has shape \(3,\), wanted \(5, 3\)"),
    ("next_obs", np.zeros((4, 3)), ValueError, r"next_obs has shape \(4, 3\), wanted \(5, 3\)"),
    ("valid", np.ones((5, 1), bool), ValueError, r"valid has shape \(5, 1\), wanted \(5,\)"),
    ("obs", [[1.0], [1.0, 2.0]], ValueError, "inhomogeneous"),
    ("obs", "left", TypeError, "obs must hold numbers, got <U4"),
    ("obs", np.ones((5, 3), bool), TypeError, "obs must hold numbers, got bool"),
    ("obs", np.ones((5, 3), complex), TypeError, "obs must hold numbers, got complex128"),
    ("action", np.zeros(5), TypeError, r"action must hold integers, got float64: with action_shape=\(\)"),
    ("action", None, TypeError, "action must hold integers, got object"),
    ("action", np.ones(5, bool), TypeError, "action must hold integers, got bool"),
    ("reward", np.ones(5, bool), TypeError, "reward must hold numbers, got bool$"),
    ("terminated", np.zeros(5), TypeError, "terminated must hold bool, got float64.*never `done`.*still bootstraps"),
    ("terminated", np.zeros(5, int), TypeError, "terminated must hold bool, got int64.*never `done`"),
    ("valid", np.ones(5), TypeError, "valid must hold bool, got float64"),
    ("obs", np.where(np.eye(5, 3) > 0, np.nan, 0.0), ValueError, "^obs holds NaN or infinity"),
    ("next_obs", np.where(np.eye(5, 3) > 0, np.inf, 0.0), ValueError, "^next_obs holds NaN or infinity"),
    ("reward", np.array([0, 0, np.nan, 0, 0]), ValueError, "^reward holds NaN or infinity"),
    ("reward", np.array([0, 0, 1e39, 0, 0]), ValueError, r"^reward holds NaN or infinity \(as float32\)"),
    ("log_prob", np.array([0, -1, np.inf, -1, 0]), ValueError, "log_prob holds inf, wanted at most 0"),
    ("log_prob", np.array([0.5, -1, np.nan, -1, 0]), ValueError, "log_prob holds 0.5, wanted at most 0"),
    ("action", np.full(5, 2**31), ValueError, "action holds an integer beyond int32"),
    ("action", np.full(5, -(2**40)), ValueError, "action holds an integer beyond int32"),
]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_ROWS)
@pytest.mark.parametrize("stored", [0, 3, 12])
def test_bad_rows_are_refused_and_change_nothing(name, value, error, message, stored):
    buffer = ReplayBuffer(8, (3,))
    for i in range(stored):
        buffer.add(**pick(transitions(stored), i))
    before = snapshot(buffer)
    with pytest.raises(error, match=message):
        buffer.add(**(transitions(5, start=50) | {name: value}))
    assert snapshot(buffer) == before


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("obs", np.zeros((1, 3)), ValueError, r"obs has shape \(1, 3\), wanted \(3,\)"),
        ("obs", np.array([0.0, np.nan, 0.0]), ValueError, "obs holds NaN"),
        ("action", 1.0, TypeError, "action must hold integers, got float64"),
        ("action", 2**31, ValueError, "action holds an integer beyond int32"),
        ("action", 2**70, TypeError, "action must hold integers, got object"),
        ("reward", float("inf"), ValueError, "reward holds NaN or infinity"),
        ("terminated", 0, TypeError, "terminated must hold bool, got int64.*never `done`"),
        ("log_prob", float("inf"), ValueError, "log_prob holds inf"),
        ("log_prob", -float("inf"), ValueError, "log_prob holds -inf, wanted at most 0"),
        ("valid", 1, TypeError, "valid must hold bool, got int64"),
    ],
)
def test_one_bad_transition_is_refused_and_changes_nothing(name, value, error, message):
    buffer = ReplayBuffer(4, (3,))
    buffer.add(**pick(transitions(3), 0))
    before = snapshot(buffer)
    with pytest.raises(error, match=message):
        buffer.add(**(pick(transitions(3), 1) | {name: value}))
    assert snapshot(buffer) == before


@pytest.mark.parametrize(
    ("lead", "message"),
    [
        ((), r"reward has shape \(\), wanted \(S,\) or \(S, B\) with S = n_seeds = 2"),
        ((3,), r"reward has shape \(3,\), wanted \(S,\) or \(S, B\)"),
        ((3, 2), r"reward has shape \(3, 2\), wanted \(S,\) or \(S, B\)"),
        ((2, 3, 1), r"reward has shape \(2, 3, 1\), wanted \(S,\) or \(S, B\)"),
        ((2, 9), "9 transitions at once are more than the capacity, 8"),
    ],
)
def test_bad_leading_axes_with_seeds(lead, message):
    buffer = ReplayBuffer(8, (3,), n_seeds=2)
    before = snapshot(buffer)
    obs, ones = np.zeros((*lead, 3)), np.ones(lead)
    with pytest.raises(ValueError, match=message):
        buffer.add(obs, ones.astype(int), ones, obs, ones > 0)
    assert snapshot(buffer) == before


def test_more_rows_than_capacity_are_refused_unless_enough_are_left_out():
    buffer, rows = ReplayBuffer(4, (3,)), transitions(5)
    before = snapshot(buffer)
    with pytest.raises(ValueError, match="5 transitions at once are more than the capacity, 4"):
        buffer.add(**rows)
    assert snapshot(buffer) == before
    buffer.add(**rows, valid=np.array([True, True, False, True, True]))
    assert len(buffer) == 4


def test_continuous_actions_take_densities_above_one():
    buffer = ReplayBuffer(4, (3,), (2,))
    rows = transitions(3, action_shape=(2,)) | {"log_prob": np.array([2.5, np.nan, -80.0])}
    buffer.add(**rows)
    np.testing.assert_array_equal(buffer.all().log_prob.numpy(), rows["log_prob"])
    with pytest.raises(ValueError, match="log_prob holds inf, wanted finite"):
        buffer.add(**(rows | {"log_prob": np.array([0.0, np.inf, 0.0])}))
    with pytest.raises(ValueError, match="log_prob holds -inf, wanted finite"):  # what was done was not impossible
        buffer.add(**(rows | {"log_prob": np.array([0.0, -np.inf, 0.0])}))


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "n = 0 transitions requested, wanted at least 1 and at most the 5 stored"),
        (-3, ValueError, "n = -3 transitions requested"),
        (6, ValueError, "n = 6 transitions requested, wanted at least 1 and at most the 5 stored"),
        (2.0, TypeError, r"^rand"),
    ],
)
@pytest.mark.parametrize("n_seeds", [None, 2])
def test_bad_sample_sizes(n, error, message, n_seeds):
    buffer = ReplayBuffer(8, (3,), n_seeds=n_seeds)
    rows = transitions(7, lead=() if n_seeds is None else (2,))
    valid = np.ones(rows["reward"].shape, bool)
    valid[..., 5:] = np.array([[True], [False]]) if n_seeds else False  # the shortest ring counts
    buffer.add(**rows, valid=valid)
    before = snapshot(buffer)
    with pytest.raises(error, match=message):
        buffer.sample(n)
    assert snapshot(buffer) == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"capacity": 0}, ValueError, "capacity must be at least 1, got 0"),
        ({"capacity": 1e5}, TypeError, "capacity must be a whole number, got 100000.0"),
        ({"n_seeds": 0}, ValueError, "n_seeds must be at least 1"),
        ({"obs_shape": (0,)}, ValueError, "each entry of obs_shape must be at least 1"),
        ({"action_shape": (2.0,)}, TypeError, "each entry of action_shape must be a whole number"),
        ({"obs_dtype": torch.float64}, ValueError, "obs_dtype must be one of torch.float32, torch.int64"),
        ({"action_dtype": torch.bool}, ValueError, "action_dtype must be one of torch.float32, torch.int64"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"device": "nowhere"}, RuntimeError, "nowhere"),
    ],
)
def test_bad_constructor_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ReplayBuffer(**({"capacity": 10} | arguments))


@pytest.mark.parametrize("n_seeds", [None, 3])
def test_sampling_the_newest_draws_each_of_them_alike_and_no_other(n_seeds):
    buffer = ReplayBuffer(50, n_seeds=n_seeds)
    lead = () if n_seeds is None else (n_seeds,)
    for t in range(73):  # the ring has gone round
        number = torch.full(lead, float(t)) if lead else float(t)
        zero = torch.zeros(lead, dtype=torch.int64) if lead else 0
        end = torch.zeros(lead, dtype=torch.bool) if lead else False
        buffer.add(number, zero, number, number, end)
    batch = buffer.sample(40, newest=10)
    assert batch.reward.shape == (*lead, 40) and batch.reward.min() >= 63 and batch.age.max() <= 9
    assert torch.equal(batch.reward, 72 - batch.age.float())
    many = torch.cat([buffer.sample(50, newest=10).age.flatten() for _ in range(200)])
    share = torch.bincount(many, minlength=10).double() / len(many)
    assert (share - 0.1).abs().max() < 0.015
    assert buffer.sample(50, newest=10_000).age.max() <= 49
    with pytest.raises(ValueError, match="newest must be at least 1, got 0"):
        buffer.sample(5, newest=0)


def test_sampling_the_newest_of_a_buffer_that_is_not_full_stays_inside():
    buffer = ReplayBuffer(50)
    for t in range(7):
        buffer.add(float(t), 0, float(t), float(t), False)
    assert set(torch.cat([buffer.sample(7, newest=3).reward for _ in range(50)]).tolist()) == {4.0, 5.0, 6.0}
