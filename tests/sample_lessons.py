"""Small lessons for the tests of the tools, and what reads their notebooks."""

GOOD = r"""# %% [markdown]
# # 01 Sums
#
# The mean is $\frac{1}{N}\sum_{i=1}^{N} x_i$.

# %% tags=["setup"]
import matplotlib.pyplot as plt

# %% [markdown]
# The same cell twice.

# %%
print("again")

# %% [markdown]
# Once more, then a figure.

# %%
print("again")

# %%
figure, ax = plt.subplots(figsize=(2, 1))

# %% [markdown]
# ## Exercise ★


# %% tags=["exercise"]
def double(x):
    return None


print("✓" if double(2) == 4 else "Not solved yet: what is x + x?")


# %% tags=["solution"]
def double(x):
    return 2 * x


print("✓" if double(2) == 4 else "Not solved yet: what is x + x?")

# %% [markdown]
# ## Results

# %%
from IPython.display import display

key = "application/vnd.resnet-course.result+json"
for result in ("first", "test accuracy 84.2 %"):
    bundle = {"text/plain": result, key: {"result": result, "data": "drawn"}}
    display(bundle, raw=True)
"""

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
