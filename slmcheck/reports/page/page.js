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
  var cards = Array.prototype.slice.call(document.querySelectorAll("#cards > .example"));
  var texts = cards.map(function (card) { return card.textContent.toLowerCase(); });
  var search = document.getElementById("search");
  var found = document.getElementById("found");
  function chosen(name) {
    var select = document.getElementById(name);
    return select ? select.value : "";
  }
  function apply() {
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var kind = chosen("kind"), run = chosen("run"), slice = chosen("slice"), count = 0;
    cards.forEach(function (card, index) {
      var shown = (!kind || card.dataset.kind === kind) && (!run || card.dataset.run === run) &&
        (!slice || card.dataset.slices.split("\n").indexOf(slice) >= 0) &&
        words.every(function (word) { return texts[index].indexOf(word) >= 0; });
      card.hidden = !shown;
      count += shown ? 1 : 0;
    });
    found.textContent = count + " of " + cards.length + " examples";
  }
  var waiting = 0;
  search.addEventListener("input", function () {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(apply, 120);
  });
  ["kind", "run", "slice"].forEach(function (name) {
    var select = document.getElementById(name);
    if (select) select.addEventListener("change", apply);
  });
  controls.hidden = false;
  apply();
})();
