"""How a page looks: light and dark, from phones to desktops, and on paper."""

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #1d2126;
  --soft: #5a636e; --line: #e4e1db; --grid: #eceae5; --good: #1b7a48; --bad: #b3261e;
  --open: #8a5a00; --good-back: #e6f3ea; --bad-back: #fbe9e7; --open-back: #fbf1dc;
  --s0: #2563c9; --s1: #b8540f; --s2: #1f8055; --s3: #8a44b5; --s4: #0b7285; --s5: #b02a57; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1c2024; --ink: #e8e6e1;
  --soft: #a3abb5; --line: #30363c; --grid: #2a3036; --good: #6fce97; --bad: #ff9a8f;
  --open: #f0c060; --good-back: #173124; --bad-back: #3c1d1b; --open-back: #37290f;
  --s0: #7db0ff; --s1: #f0a060; --s2: #66cc99; --s3: #cf9bf0; --s4: #5cc5d6; --s5: #f58aac; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
header, main, footer { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.15; margin: 0 0 6px;
  letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 4px; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 18px 0 4px; }
p { margin: 0 0 12px; max-width: 75ch; }
a { color: var(--s0); }
a:focus-visible, [tabindex]:focus-visible, summary:focus-visible {
  outline: 3px solid var(--s0); outline-offset: 2px; border-radius: 4px; }
.kicker { color: var(--soft); font-size: .9rem; margin: 0 0 6px; }
.lead { color: var(--soft); font-size: 1.05rem; }
.note { color: var(--soft); font-size: .9rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 10px 0 0;
  margin: 14px 0 0; border-top: 1px solid var(--line); font-size: .95rem; }
nav a { text-decoration: none; padding: 4px 0; display: inline-block; }
nav a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 22px 24px; margin: 20px 0; scroll-margin-top: 12px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 16px;
  margin: 18px 0 4px; padding: 0; }
.facts div { border-left: 3px solid var(--line); padding-left: 12px; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-weight: 600; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts dd small { display: block; font-size: .85rem; font-weight: 400; color: var(--soft);
  letter-spacing: 0; }
.scroll { overflow-x: auto; margin: 12px -24px 0; padding: 0 24px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .88rem; padding-bottom: 6px; }
th, td { text-align: left; padding: 7px 16px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 600; font-size: .84rem; vertical-align: bottom;
  border-bottom: 2px solid var(--line); }
tbody th { font-weight: 600; }
tbody tr:last-child > * { border-bottom-color: var(--line); }
.group th { padding-top: 16px; border-bottom-width: 2px; font-size: .95rem; }
.number { text-align: right; white-space: nowrap; }
figure + .scroll, .plots + .scroll { margin-top: 18px; }
.scroll + .scroll, .scroll + figure { margin-top: 26px; }
.scroll + p { margin-top: 16px; }
.still { display: inline-block; position: sticky; left: 0; max-width: min(75ch, 100vw - 72px); }
.short { white-space: nowrap; }
thead .number { white-space: normal; min-width: 8ch; }
details summary { cursor: pointer; }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px; overflow-x: auto; margin: 0; }
.name { overflow-wrap: anywhere; min-width: 11ch; }
.long { min-width: 24ch; max-width: 56ch; overflow-wrap: anywhere; }
td small, th small { color: var(--soft); font-weight: 400; }
code, .code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  font-size: .88em; overflow-wrap: anywhere; }
.status { display: inline-block; padding: 1px 9px; border-radius: 99px; font-size: .84rem;
  font-weight: 600; white-space: nowrap; border: 1px solid var(--line); color: var(--soft); }
.good { color: var(--good); background: var(--good-back); border-color: transparent; }
.bad { color: var(--bad); background: var(--bad-back); border-color: transparent; }
.open { color: var(--open); background: var(--open-back); border-color: transparent; }
.meter { width: 100%; min-width: 90px; max-width: 220px; height: 10px; display: block;
  margin-top: 6px; }
.meter rect { fill: var(--s0); }
.meter .back { fill: var(--grid); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 12px 28px; margin-top: 12px; }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: .9rem; }
.plot { width: 100%; height: auto; max-width: 560px; display: block; overflow: visible; }
.plot text { fill: var(--soft); font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; }
.plot .tick { font-size: 11px; font-variant-numeric: tabular-nums; }
.plot .label { fill: var(--ink); paint-order: stroke; stroke: var(--card); stroke-width: 4px;
  stroke-linejoin: round; }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; opacity: .6; }
.leader { stroke: var(--soft); stroke-width: 1; opacity: .5; }
.limit { stroke: var(--tone); stroke-width: 1.4; stroke-dasharray: 5 4; opacity: .8; }
.plot .limit-text { fill: var(--tone); font-size: 11px; paint-order: stroke; stroke: var(--card);
  stroke-width: 4px; }
.mark { fill: var(--tone); stroke: var(--card); stroke-width: 1.5; }
.mark.hollow { fill: var(--card); stroke: var(--tone); stroke-width: 2; }
.front { fill: none; stroke: var(--ink); stroke-width: 1.5; opacity: .45; }
.bar { fill: var(--tone); opacity: .85; }
.interval { fill: none; stroke: var(--ink); stroke-width: 1.3; }
.goal { stroke: var(--ink); stroke-width: 2; stroke-dasharray: 3 2; }
.neutral { --tone: var(--soft); }
.s0 { --tone: var(--s0); } .s1 { --tone: var(--s1); } .s2 { --tone: var(--s2); }
.s3 { --tone: var(--s3); } .s4 { --tone: var(--s4); } .s5 { --tone: var(--s5); }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0;
  margin: 10px 0 0; font-size: .88rem; color: var(--soft); }
footer { padding-bottom: 40px; color: var(--soft); font-size: .88rem; }
@media (max-width: 600px) { header, main, footer { padding-left: 12px; padding-right: 12px; }
  header { padding-top: 22px; } section { padding: 18px 14px; border-radius: 10px; }
  .scroll { margin: 10px -14px 0; padding: 0 14px; } table { font-size: .87rem; }
  th, td { padding-right: 12px; } .facts { grid-template-columns: 1fr 1fr; gap: 14px 10px; }
  .facts dd { font-size: 1.12rem; } tbody th[scope="row"] { position: sticky; left: -14px;
    background: var(--card); padding-left: 14px; max-width: 46vw; }
  .name:has(.code) { min-width: 38vw; }
  table { margin-left: -14px; width: calc(100% + 14px); }
  caption, .group th, thead th:first-child { padding-left: 14px; } .still { left: 0; } }
@media print { :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  body { font-size: 10.5pt; } nav { display: none; } section { border: 0; padding: 0;
  break-inside: auto; } tr, figure, .facts { break-inside: avoid; }
  .scroll { overflow: visible; margin: 0; padding: 0; } }
"""
