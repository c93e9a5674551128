"""Small lessons for the tests of the tools, and what reads their notebooks."""


def choice(answer, verdict, text):
    """Return one choice of a question."""
    summary = f"# <details><summary>{answer}</summary>"
    return f"{summary}\n#\n# **{verdict}.** {text}\n#\n# </details>\n"


def question(number, right):
    """Return a question of a quiz; the choice at the place `right` is right."""
    text = f"\n# %% [markdown]\n# **{number}. How much is $1 + {right}$?**\n#\n"
    for place, answer in enumerate(("One.", "Two.", "Three.")):
        verdict = "Right" if place == right else "No"
        text += choice(answer, verdict, f"One and {right} are {right + 1}.")
    return text


QUIZ = "".join(question(n, right) for n, right in enumerate((0, 1, 1, 0, 2), 1))

STUB = """def double(x):
    return None


print("✓" if double(2) == 4 else "Not solved yet: what is x + x?")
"""


def exercise(number):
    """Return an exercise of as many stars, and its solution."""
    solved = STUB.replace("None", "2 * x")
    return (
        f"\n# %% [markdown]\n# ### {'★' * number} Twice\n#\n# Double it.\n\n\n"
        f'# %% tags=["exercise"]\n{STUB}\n\n# %% tags=["solution"]\n{solved}'
    )


GOOD = (
    r"""# %% [markdown]
# # 01 Sums
#
# The mean is $\frac{1}{N}\sum_{i=1}^{N} x_i$.
#
# **Reading** 3 minutes · **exercises** 25 minutes · **run time** quick CPU about 1 s
# (two quiet cores), full GPU not measured

# %% [markdown]
# ## Three questions from before
#
# <details><summary>One?</summary>
#
# Two.
#
# </details>
# <details><summary>Two?</summary>
#
# Three.
#
# </details>
# <details><summary>Three?</summary>
#
# Four.
#
# </details>

# %% tags=["setup"]
import matplotlib.pyplot as plt

# %% [markdown]
# ## A question first
#
# The same cell twice.

# %%
# say it
print("again")

# %% [markdown]
# Once more, then a figure.<!-- an invisible comment -->

# %%
# say it
print("again")

# %% tags=["figure"]
# Figure: an empty pair of axes;
# nothing is drawn on it.

# twice as wide as high
figure, ax = plt.subplots(figsize=(2, 1))

# %% [markdown]
# ## Myths, tested

# %%
# the key result
from IPython.display import display

key = "application/vnd.resnet-course.result+json"
for result in ("first", "test accuracy 84.2 %"):
    bundle = {"text/plain": result, key: {"result": result, "data": "drawn"}}
    display(bundle, raw=True)

# %% [markdown]
# ## Summary

# %% [markdown]
# ## Exercises
"""
    + "".join(map(exercise, (1, 2, 3)))
    + """
# %% [markdown]
# ## Quiz
#
# Open the answer that you would give.
"""
    + QUIZ
    + """
# %% [markdown]
# ## References
"""
)

BAD = """# %% [markdown]
# # 02 Fails

# %% tags=["setup"]
import os

# %% [markdown]
# The environment, then an error.

# %%
print({k: v for k, v in os.environ.items() if k.startswith("COURSE_")})

# %%
shape = (3,)
raise ValueError(f"a shape of (4,) was expected,\\nnot {shape}")

# %% [markdown]
# Never reached.

# %%
print("reached")
"""


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
