(function () {
  "use strict";
  var embed = window.slmcheckEmbed;
  var specifications = JSON.parse(document.getElementById("specifications").textContent);

  function draw(place) {
    var specification = specifications[place.dataset.chart];
    if (!specification) return;
    var still = place.querySelector(".still");
    var live = document.createElement("div");
    live.className = "live waiting";
    live.setAttribute("aria-hidden", "true");
    place.appendChild(live);
    specification.width = "container";
    embed(live, specification, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, logLevel: 1
    }).then(function () {
      live.classList.remove("waiting");
      still.hidden = true;
    }, function () {
      live.remove(); // the static picture stays
    });
  }

  var places = Array.prototype.slice.call(document.querySelectorAll("[data-chart]"));
  if (embed && "IntersectionObserver" in window) {
    var observer = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        observer.unobserve(entry.target);
        draw(entry.target);
      });
    }, { rootMargin: "300px" });
    places.forEach(function (place) { observer.observe(place); });
  }

  var controls = document.getElementById("controls");
  if (!controls) return;
  var place = document.getElementById("cards");
  var rows = Array.prototype.slice.call(place.querySelectorAll("tbody > tr"));
  var search = document.getElementById("search");
  var found = document.getElementById("found");
  var ROWS = 50, ROW_HEIGHT = 76;
  var texts = null; // made by the first search: opening the page should not pay for it
  var pattern = place.querySelector("table").cloneNode(true);
  pattern.tBodies[0].textContent = "";

  function count(number) {
    return number.toLocaleString("en");
  }
  function chosen(name) {
    var select = document.getElementById(name);
    return select ? select.value : "";
  }
  function matching() {
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var verdict = chosen("verdict"), flip = chosen("flip"), run = chosen("run"), slice = chosen("slice");
    var gate = chosen("gate").split(",");
    if (words.length && !texts) texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
    return rows.filter(function (row, index) {
      var data = row.dataset, of = data.run || "0", slices = (data.slices || "").split(" ");
      return (!verdict || data.is[0] === verdict) && (!flip || data.is[1] === flip) && (!run || of === run) &&
        (!slice || slices.indexOf(slice) >= 0) &&
        (!gate[0] || (of === gate[0] && (!gate[1] || slices.indexOf(gate[1]) >= 0))) &&
        words.every(function (word) { return texts[index].indexOf(word) >= 0; });
    });
  }

  // Rows are in the page only while they are near the window; elsewhere a part keeps its height.
  function fill(part) {
    if (part.filled) return;
    part.filled = true;
    var body = part.firstChild.tBodies[0];
    part.rows.forEach(function (row) { body.appendChild(row); });
    part.style.height = "";
  }
  function empty(part) {
    if (!part.filled) return;
    part.style.height = part.offsetHeight + "px";
    part.filled = false;
    part.firstChild.tBodies[0].textContent = "";
  }
  var near = "IntersectionObserver" in window && new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) { (entry.isIntersecting ? fill : empty)(entry.target); });
  }, { rootMargin: "1500px 0px" });

  var parts = [];
  function show(chosenRows) {
    if (near) near.disconnect();
    parts.forEach(function (part) { part.firstChild.tBodies[0].textContent = ""; });
    parts = [];
    place.textContent = "";
    for (var start = 0; start < chosenRows.length; start += ROWS) {
      var part = document.createElement("div");
      part.className = "part shown";
      part.rows = chosenRows.slice(start, start + ROWS);
      part.filled = false;
      var table = pattern.cloneNode(true);
      table.caption.textContent = "Examples " + count(start + 1) + " to " + count(start + part.rows.length);
      part.appendChild(table);
      part.style.height = part.rows.length * ROW_HEIGHT + "px";
      place.appendChild(part);
      parts.push(part);
      if (near) near.observe(part); else fill(part);
    }
    if (parts.length) fill(parts[0]);
  }
  function apply() {
    var chosenRows = matching();
    show(chosenRows);
    found.textContent = count(chosenRows.length) + " of " + count(rows.length) + " examples";
  }
  var waiting = 0;
  search.addEventListener("input", function () {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(apply, 120);
  });
  ["verdict", "flip", "run", "slice", "gate"].forEach(function (name) {
    var select = document.getElementById(name);
    if (select) select.addEventListener("change", apply);
  });
  window.addEventListener("beforeprint", function () {
    if (near) near.disconnect();
    parts.forEach(fill);
  });
  window.addEventListener("afterprint", function () {
    if (near) parts.forEach(function (part) { near.observe(part); });
  });
  controls.hidden = false;
  apply();
})();
