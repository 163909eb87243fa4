"""The check of notebook 05's assembled loss, by mutation: wrong answers fail with their own words, right ones pass."""

from offac_lite.course import checks
from offac_lite.equations import leave_one_out, policy_gradient_loss
from tests.exercises import Answers


def by_the_package(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    return policy_gradient_loss(pi.log_prob(action), leave_one_out(critic(obs, action)))


def with_the_mean_of_all(policy, critic, obs, stored_action, action_samples, generator):
    pi, k = policy(obs), action_samples
    action = pi.sample(k, generator=generator)
    q = critic(obs, action).detach()
    return -(k / (k - 1) * (q - q.mean(-2, keepdim=True)) * pi.log_prob(action)).mean()


def by_a_critic_of_advantages(policy, critic, obs, stored_action, action_samples, generator):
    def advantage(states, action):
        return leave_one_out(critic(states, action))

    return checks.resampled_loss.right(policy, advantage, obs, stored_action, action_samples, generator)


def loss(weight=lambda q: leave_one_out(q.detach()), reduce=lambda terms: -terms.mean(), draws=None, two=0, use=1):
    """Make a loss: the weight of Q, the reduction, the number of draws, and where a second draw is used."""

    def assembled(policy, critic, obs, stored_action, action_samples, generator):
        pi, k = policy(obs), draws or action_samples
        action = pi.sample(k, generator=generator)
        again = pi.sample(k, generator=generator) if two else action
        log_prob = pi.log_prob(again if two == 1 else action)
        q = weight(critic(obs, again if two == 2 else action))
        return reduce((log_prob if use == 1 else log_prob.detach() if use == 0 else log_prob.exp()) * q)

    return assembled


def with_baseline(baseline):
    """Make a loss whose baseline is made of Q, of Q of the stored action, and of Q of actions that are drawn anew."""

    def assembled(policy, critic, obs, stored_action, action_samples, generator):
        pi = policy(obs)
        action = pi.sample(action_samples, generator=generator)
        q, q_stored = critic(obs, action).detach(), critic(obs, stored_action).detach()[..., None, :]

        def others(more):
            return critic(obs, pi.sample(action_samples + more, generator=generator)).detach()

        return -(pi.log_prob(action) * (q - baseline(q, q_stored, others))).mean()

    return assembled


def without_log_prob(policy, critic, obs, stored_action, action_samples, generator):
    action = policy(obs).sample(action_samples, generator=generator)
    return -leave_one_out(critic(obs, action).detach()).mean()


def of_the_loss(policy, critic, obs, stored_action, action_samples, generator):
    arguments = policy, critic, obs, stored_action, action_samples, generator
    return leave_one_out(checks.resampled_loss.right(*arguments))


def of_the_product(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    return -leave_one_out(pi.log_prob(action) * critic(obs, action).detach()).mean()


def without_return(policy, critic, obs, stored_action, action_samples, generator):
    by_the_package(policy, critic, obs, stored_action, action_samples, generator)


OWN = checks.own_loss
RIGHT = {OWN: [by_the_package, with_the_mean_of_all, by_a_critic_of_advantages]}
WRONG = [
    (OWN, checks.resampled_loss.right, "^the weight is still Q itself"),
    (OWN, loss(lambda q: q), "^the weight is still Q itself.*and besides, a gradient flows"),
    (OWN, with_baseline(lambda q, q_stored, others: q_stored), "Q of the stored action: the mean"),
    (OWN, with_baseline(lambda q, q_stored, others: others(-1).mean(-2, keepdim=True)), "drawn once more"),
    (OWN, with_baseline(lambda q, q_stored, others: others(0).mean(-2, keepdim=True)), "drawn once more"),
    (OWN, with_baseline(lambda q, q_stored, others: (q.sum(-2, True) - q) / q.shape[-2]), "still divide by K"),
    (OWN, with_baseline(lambda q, q_stored, others: (q.sum(-1, True) - q) / (q.shape[-1] - 1)), "are other states"),
    (OWN, loss(lambda q: q - (q - leave_one_out(q)).detach()), "^the other gradients are correct, but .* reaches Q"),
    (OWN, loss(leave_one_out), "^a gradient flows into Q.*Detach Q, as in Exercise 1"),
    (OWN, loss(lambda q: (q - q.mean(-2, keepdim=True)).detach()), "contains the action's own Q"),
    (OWN, loss(lambda q: (q - q.mean(-1, keepdim=True)).detach()), "over the batch of states"),
    (OWN, loss(lambda q: (q - leave_one_out(q)).detach()), "the weight is the baseline"),
    (OWN, loss(reduce=lambda terms: terms.mean()), "the sign is flipped"),
    (OWN, loss(two=1), "one draw and Q of another"),
    (OWN, loss(two=2), "one draw and Q of another"),
    (OWN, loss(reduce=lambda terms: -terms.sum()), "add up where the mean over states and actions"),
    (OWN, loss(reduce=lambda terms: -terms.sum(-2).mean()), "add up the K actions"),
    (OWN, loss(reduce=lambda terms: -terms.mean(-1)), "average over the batch only"),
    (OWN, loss(draws=1), "there is no other action to average|one action per state"),
    (OWN, loss(use=0), "log π is detached"),
    (OWN, loss(use=2), "weights by π, for the gradient of π"),
    (OWN, without_log_prob, "the mean of leave-one-out alone is 0"),
    (OWN, of_the_product, "leave-one-out of the whole product"),
    (OWN, of_the_loss, "^it stops with ValueError: q has shape .*no other action to average"),
    (OWN, without_return, "^it returns nothing"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("05_resampled_actions.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", ".mean(", "no_grad")
    SCOPE = {"leave_one_out": leave_one_out}  # noqa: RUF012
