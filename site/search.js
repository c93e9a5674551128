// The search puts headings first, then the glossary, pages, and names in the code.
var Scorer = {
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
  objNameMatch: 11, objPartialMatch: 6, objPrio: {}, objPrioDefault: 0,
  score: ([page, title, anchor, description, score, file, kind]) => {
    if (kind === "title") return 300 + score;
    if (kind === "index" && page === "glossary") return 200 + score;
    return kind === "text" ? 100 + score : score;
  },
};
