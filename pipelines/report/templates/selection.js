(async () => {
  const SHOWN = 100;
  const unpacked = async (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const { figures, twins, features, texts } = JSON.parse(await unpacked("page-data"));

  // A feature is [name, chosen, positions of kind, reason and task among the texts, then numbers as they are shown].
  const named = ([name, chosen, ...rest]) => [
    name, chosen ? "chosen" : "left out", ...rest.slice(0, 3).map((place) => texts[place]), ...rest.slice(3)];
  const search = document.getElementById("search");
  const which = document.getElementById("which");
  const list = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = features.map(named).filter((row) => {
      const text = row.slice(0, 5).join(" ").toLowerCase();
      return (!which.value || row[1] === which.value) && words.every((word) => text.includes(word));
    });
    document.getElementById("rows").replaceChildren(...fits.slice(0, SHOWN).map((row) => {
      const line = document.createElement("tr");
      line.append(...row.map((value, place) => {
        const cell = document.createElement(place ? "td" : "th");
        if (!place) cell.scope = "row";
        cell.className = place < 3 ? "name" : place === 3 ? "remark" : place === 4 ? "name" : "number";
        cell.textContent = value;
        return cell;
      }));
      return line;
    }));
    const count = fits.length.toLocaleString("en");
    document.getElementById("found").textContent =
      fits.length > SHOWN ? `the first ${SHOWN} of ${count} features` : `${count} features`;
  };
  search.addEventListener("input", list);
  which.addEventListener("change", list);
  list();

  const library = document.createElement("script");
  library.textContent = await unpacked("page-library");
  document.head.append(library);
  drawAll(figures, twins);
  document.body.dataset.drawn = "yes";
})();
