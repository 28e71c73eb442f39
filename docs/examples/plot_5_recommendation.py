"""
Drawing recommendations, and ranking them
=========================================

The quantum recommendation algorithm, and Tang's classical one after it, do not rank: they return a *draw*, item
:math:`j` with probability proportional to the square of the :math:`j`-th entry of the user's projected row. A ranking
looks for the largest entries. :class:`qinspired.SampledRecommender` does both from one approximation, and this example
shows how different they are.
"""

# %%
# Generated likes: 2,500 users of 12 types. Each type likes a fifth of 1,500 items; one like in eight is observed, and a
# tenth as often something that is not liked. So it is known what a user would like among the items not seen yet.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

problem = qi.problems.ratings((2500, 1500), 12, density=0.125, noise=0.1, liked=0.2, rng=0)
likes = problem.profiles[problem.groups]
model = qi.SampledRecommender(12, tol=0.02, random_state=0).fit(problem.matrix)
print(model.excess_)

# %%
# A draw for one user follows the squared scores, item by item.

user = 7
scores = model.predict(user, np.arange(model.n_items_))
law = scores**2 / (scores**2).sum()
drawn = model.sample_recommendations(user, 200_000, rng=0)
share = np.bincount(drawn, minlength=model.n_items_) / len(drawn)

# %%
# Quality over all users: the share of items that the user likes, among items that the user has not seen. Draws are made
# distinct and unseen; ``candidates`` of them are drawn, and the ten best of these by score are kept.

users = np.arange(0, 2500, 5)
unseen_likes = likes.copy()
unseen_likes[problem.matrix.nonzero()] = False
seen = problem.matrix[users].toarray() > 0


def quality(candidates):
    drawn = model.sample_recommendations(users, candidates, rng=1)
    scores = model.predict(users[:, None], drawn)
    shares = []
    for row, user in enumerate(users):
        items, first = np.unique(drawn[row], return_index=True)
        fresh = ~seen[row, items]
        items, values = items[fresh], scores[row, first][fresh]
        best = items[np.argsort(-values)[:10]]
        shares.append(unseen_likes[user, best].sum() / 10)
    return float(np.mean(shares))


counts = np.array([10, 30, 100, 300, 1000])
drawn_quality = [quality(count) for count in counts]
ranked, _ = model.recommend(users, n=10)
ranked_quality = float(np.take_along_axis(unseen_likes[users], ranked, axis=1).mean())
chance = float(unseen_likes[users].sum() / (~seen).sum())

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8))
left.plot(law, share, ".", markersize=3, alpha=0.6)
top = law.max() * 1.1
left.plot([0, top], [0, top], "--", color="grey", linewidth=1)
left.set(xlabel="squared score, normalised", ylabel="share of 200,000 draws", xlim=(0, top), ylim=(0, top))
left.ticklabel_format(style="sci", axis="both", scilimits=(0, 0))
right.plot(counts, drawn_quality, "o-", label="drawn, then ranked")
right.axhline(ranked_quality, color="k", linestyle="--", label="ranked from all items")
right.axhline(chance, color="grey", linestyle=":", label="items at random")
right.set(xscale="log", xlabel="candidates drawn for each user", ylabel="liked, of 10 recommended", ylim=(0, 1.02))
right.set_xticks(counts, labels=[str(count) for count in counts])
right.minorticks_off()
right.yaxis.set_major_formatter("{x:.0%}")
right.legend(loc="lower right")
figure.tight_layout()
plt.show()

# %%
# Ten draws are ten items of about the right kind, some of them seen already or drawn twice, which counts against them here.
# A few hundred draws, ranked, recover most of the ranking. A draw takes as many proposals as there are directions,
# whatever the number of items; ranking all items takes time in proportion to that number.

for count, value in zip(counts, drawn_quality, strict=True):
    print(f"{count:5} candidates: {value:.0%} liked")
print(f"ranking all {model.n_items_}: {ranked_quality:.0%}; at random: {chance:.0%}")
