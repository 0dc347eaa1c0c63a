// Tables of the class "sortable": a click on a header sorts; a column with data-choose gets a choice above the table.

const textOf = (row, column) => row.cells[column].firstChild?.textContent.trim() ?? "";

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what is empty comes last either way
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b) : difference;
}

function sort(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [textOf(row, column), row]);
  rows.sort(([a], [b]) => (ascending || a === "" || b === "" ? compare(a, b) : compare(b, a)));
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    if (at === column) head.ariaSort = ascending ? "ascending" : "descending";
    else head.removeAttribute("aria-sort");
  });
}

function addButtons(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, column, head.ariaSort !== "ascending"));
  });
}

function addChoices(table) {
  const heads = [...table.tHead.rows[0].cells].filter((head) => head.dataset.choose !== undefined);
  if (!heads.length) return;
  const box = document.createElement("div");
  const count = document.createElement("span");
  box.className = "choices";
  const show = () => {
    const wanted = [...box.querySelectorAll("select")].map((select) => [Number(select.name), select.value]);
    for (const row of table.tBodies[0].rows) row.hidden = !wanted.every(([at, value]) => value === "" || textOf(row, at) === value);
    count.textContent = `${[...table.tBodies[0].rows].filter((row) => !row.hidden).length} rows`;
  };
  for (const head of heads) {
    const select = document.createElement("select");
    select.name = head.cellIndex;
    const values = new Set([...table.tBodies[0].rows].map((row) => textOf(row, head.cellIndex)));
    select.append(new Option("all", ""), ...[...values].sort().map((value) => new Option(value)));
    select.value = values.has(head.dataset.choose) ? head.dataset.choose : "";
    select.addEventListener("change", show);
    const label = document.createElement("label");
    label.append(`${head.textContent} `, select);
    box.append(label);
  }
  box.append(count);
  table.parentElement.before(box);
  show();
}

for (const table of document.querySelectorAll("table.sortable")) {
  addChoices(table);
  addButtons(table);
}
