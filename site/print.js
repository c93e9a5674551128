// What is printed is light, whatever the screen is.
const { dataset } = document.documentElement;
addEventListener("beforeprint", () => {
  dataset.onScreen = dataset.theme;
  dataset.theme = "light";
});
addEventListener("afterprint", () => {
  dataset.theme = dataset.onScreen;
});
