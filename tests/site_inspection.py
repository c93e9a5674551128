"""What the browser is asked about a page of the site; returns plain data."""

INSPECT = r"""
() => {
  const parse = color => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return {rgb: [r, g, b], a};
  };
  const over = (top, a, below) => top.map((c, i) => a * c + (1 - a) * below[i]);
  const luminance = rgb => {
    const [r, g, b] = rgb.map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = element => {
    if (!element) return [255, 255, 255];
    const {rgb, a} = parse(getComputedStyle(element).backgroundColor);
    return a === 1 ? rgb : over(rgb, a, background(element.parentElement));
  };
  const opacity = element => element
    ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
  const contrast = element => {
    const below = background(element);
    const {rgb, a} = parse(getComputedStyle(element).color);
    const pair = [luminance(over(rgb, a * opacity(element), below)), luminance(below)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
  const seen = element => element.checkVisibility({visibilityProperty: true});
  const faint = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.closest("script, style, svg, mjx-container") || !seen(element))
      continue;
    texts += 1;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(element);
    if (ratio < (large ? 3 : 4.5))
      faint.set(`${element.tagName}.${element.className} ${style.color}`,
                `${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  const every = (selector, of) => [...document.querySelectorAll(selector)].map(of);
  return {
    texts,
    faint: Object.fromEntries(faint),
    overflow: document.scrollingElement.scrollWidth - innerWidth,
    images: every("img", i => [i.alt, i.naturalWidth, i.src.slice(-60)]),
    headings: every("h1, h2, h3, h4, h5, h6", h => h).filter(seen)
      .map(h => Number(h.tagName[1])),
    formulas: every("mjx-container svg", s => s.getBoundingClientRect().width),
    badFormulas: document.querySelectorAll("[data-mml-node=merror]").length,
    shown: every(".bd-article details", d => d.lastElementChild.checkVisibility(
      {contentVisibilityAuto: true})),
    sidebars: every(".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article",
                    seen).filter(Boolean).length,
  };
}
"""
