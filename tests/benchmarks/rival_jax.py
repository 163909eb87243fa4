"""The algorithm of `offac_lite.train` with its default settings, in JAX: compiled as a whole, for many seeds at once.

It is the rival to beat in `bench_training`. The environment is CartPole-v1 with Gymnasium's equations and limits. It
resets in the same step in which an episode ends; Gymnasium's takes one more step for that, which stores nothing.

    python -m tests.benchmarks.rival_jax [SEEDS]
"""

import functools
import itertools
import sys
import time

import jax
import jax.numpy as jnp
import optax

GAMMA, TAU, BATCH, K, N_ENVS, RANDOM_STEPS, TOTAL_STEPS = 0.99, 0.1, 128, 4, 8, 1000, 40_000
ACTOR_LR, CRITIC_LR, ENTROPY_BONUS, REWARD_SCALE = 3e-4, 4e-3, 0.05, 0.1
EVALUATIONS, EPISODES, LIMIT = 20, 20, 500
OBS_SCALE = jnp.array([0.5, 0.5, 5.0, 0.5])
SIZES = (4, 32, 32, 2)


def init(key, out_gain=1.0):
    """Make the parameters of one network: uniform within ±1/√fan-in, those of the last layer times `out_gain`."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(SIZES):
        key, w, b = jax.random.split(key, 3)
        bound = fan_in**-0.5 * (out_gain if fan_out == SIZES[-1] else 1.0)
        shapes = (fan_in, fan_out), (fan_out,)
        layers.append(
            [jax.random.uniform(k, s, minval=-bound, maxval=bound) for k, s in zip((w, b), shapes, strict=True)]
        )
    return layers


def network(layers, obs):
    """Map observations (..., 4) to two numbers, one per action."""
    x = obs * OBS_SCALE
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def smaller(twins, obs):
    """Evaluate the smaller Q of both critics, (..., 2)."""
    return jax.vmap(network, (0, None))(twins, obs).min(0)


def fresh(key, n):
    """Draw n first states."""
    return jax.random.uniform(key, (n, 4), minval=-0.05, maxval=0.05)


def physics(state, action):
    """Take one step of CartPole-v1 from states (n, 4): the next states, and where the pole has fallen."""
    x, v, angle, spin = state.T
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    push = (jnp.where(action == 1, 10.0, -10.0) + 0.05 * spin**2 * sin) / 1.1
    turn = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    acceleration = push - 0.05 * turn * cos / 1.1
    after = jnp.stack([x + 0.02 * v, v + 0.02 * acceleration, angle + 0.02 * spin, spin + 0.02 * turn], -1)
    return after, (jnp.abs(after[:, 0]) > 2.4) | (jnp.abs(after[:, 2]) > 12 * jnp.pi / 180)


def evaluate(policy, key):
    """Return the mean return of 20 greedy episodes."""

    def step(carry, _):
        state, playing = carry
        after, fell = physics(state, network(policy, state).argmax(-1))
        return (after, playing & ~fell), playing.sum()

    start = fresh(key, EPISODES), jnp.ones(EPISODES, bool)
    return jax.lax.scan(step, start, None, LIMIT)[1].sum() / EPISODES


def loss(networks, target, batch, key):
    """Add the losses of critics and actor; each reaches its own parameters alone."""
    policy, twins = networks
    obs, action, reward, next_obs, terminated = batch
    next_value = (jax.nn.softmax(network(policy, next_obs)) * smaller(target, next_obs)).sum(-1)
    y = jax.lax.stop_gradient(reward + GAMMA * jnp.where(terminated, 0.0, next_value))  # a′ ~ π(·|s′), all of them
    q = jax.vmap(network, (0, None))(twins, obs)
    taken = jnp.take_along_axis(q, action[None, :, None], -1)[..., 0]
    critic_loss = 0.5 * jnp.square(taken - y).mean(-1).sum()

    log_pi = jax.nn.log_softmax(network(policy, obs))
    q_all = jax.lax.stop_gradient(q.min(0))
    resampled = jax.random.categorical(key, log_pi, shape=(K, BATCH))  # aᵖ ~ π(·|s), resampled now
    advantage = q_all - jax.lax.stop_gradient((jnp.exp(log_pi) * q_all).sum(-1, keepdims=True))
    pick = functools.partial(jnp.take_along_axis, indices=resampled.T, axis=-1)
    entropy = -(jnp.exp(log_pi) * log_pi).sum(-1).mean()
    return critic_loss - (pick(log_pi) * pick(advantage)).mean() - ENTROPY_BONUS * entropy


def train(key):
    """Train one seed and return its 20 evaluations."""
    k_policy, k_twins, k_env, key = jax.random.split(key, 4)
    networks = init(k_policy, 0.01), jax.vmap(init)(jax.random.split(k_twins, 2))
    n_iterations = TOTAL_STEPS // N_ENVS
    rates = (optax.linear_schedule(lr, 0.0, n_iterations - RANDOM_STEPS // N_ENVS) for lr in (ACTOR_LR, CRITIC_LR))
    optimizers = tuple(optax.adam(rate) for rate in rates)
    moments = tuple(optimizer.init(part) for optimizer, part in zip(optimizers, networks, strict=True))
    like = jnp.zeros(4), jnp.int32(0), jnp.float32(0), jnp.zeros(4), jnp.bool_(False)
    buffer = jax.tree.map(lambda one: jnp.zeros((TOTAL_STEPS, *one.shape), one.dtype), like)
    state, age = fresh(k_env, N_ENVS), jnp.zeros(N_ENVS, jnp.int32)

    def iteration(carry, i):
        (networks, target, moments), buffer, (state, age), key = carry
        key, k_act, k_reset, k_batch, k_resample = jax.random.split(key, 5)
        logits = jnp.where(i < RANDOM_STEPS // N_ENVS, 0.0, network(networks[0], state))
        action = jax.random.categorical(k_act, logits)  # collect
        after, fell = physics(state, action)
        row = state, action.astype(jnp.int32), jnp.full(N_ENVS, REWARD_SCALE), after, fell
        put = jax.lax.dynamic_update_slice_in_dim
        buffer = jax.tree.map(lambda field, new: put(field, new, i * N_ENVS, 0), buffer, row)  # store
        ended = fell | (age + 1 >= LIMIT)
        state, age = jnp.where(ended[:, None], fresh(k_reset, N_ENVS), after), jnp.where(ended, 0, age + 1)

        def learn(trained):
            networks, target, moments = trained
            rows = jax.random.randint(k_batch, (BATCH,), 0, (i + 1) * N_ENVS)  # sample
            batch = jax.tree.map(lambda field: field[rows], buffer)
            gradients = jax.grad(loss)(networks, target, batch, k_resample)
            steps = [o.update(g, m) for o, g, m in zip(optimizers, gradients, moments, strict=True)]
            networks = tuple(optax.apply_updates(n, update) for n, (update, _) in zip(networks, steps, strict=True))
            target = optax.incremental_update(networks[1], target, TAU)
            return networks, target, tuple(m for _, m in steps)

        trained = jax.lax.cond(i >= RANDOM_STEPS // N_ENVS, learn, lambda same: same, (networks, target, moments))
        return (trained, buffer, (state, age), key), None

    def until_evaluation(carry, j):
        per_evaluation = n_iterations // EVALUATIONS
        carry, _ = jax.lax.scan(iteration, carry, j * per_evaluation + jnp.arange(per_evaluation))
        return carry, evaluate(carry[0][0][0], jax.random.fold_in(carry[-1], j))

    carry = (networks, networks[1], moments), buffer, (state, age), key
    return jax.lax.scan(until_evaluation, carry, jnp.arange(EVALUATIONS))[1]


def compiled(seeds: int):
    """Compile the training of `seeds` seeds; return it, a function of one integer, and the seconds that took."""
    start = time.perf_counter()
    work = jax.jit(jax.vmap(train)).lower(jax.random.split(jax.random.key(0), seeds)).compile()
    seconds = time.perf_counter() - start
    return lambda seed: jax.device_get(work(jax.random.split(jax.random.key(seed), seeds))), seconds


def main() -> None:
    """Train SEEDS seeds and print what they reach."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    run, seconds = compiled(seeds)
    start, cpu = time.perf_counter(), time.process_time()
    returns = run(0)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{seeds} seeds: compiled in {seconds:.1f} s, trained in {wall:.1f} s ({cpu:.1f} s of CPU)")
    print("returns at the end:", *sorted(returns[:, -1].round().astype(int).tolist()))


if __name__ == "__main__":
    main()
