/** The report's style sheet: one column on a phone, two for charts on a screen, light and dark as the system is. */
export const style = `
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1c2128;--soft:#59626e;--line:#dfe2e6;--accent:#1f5fbf;--good:#1a7f45}
@media (prefers-color-scheme:dark){:root{--page:#14171c;--card:#1b1f26;--ink:#e8eaed;--soft:#a3acb8;--line:#343b45;--accent:#7fb0ff;--good:#58c787}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 16px}
header{padding-top:28px}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:36px 0 6px;scroll-margin-top:12px}
h3{font-size:1.05rem;margin:0 0 6px}
p{margin:6px 0 12px;max-width:70ch}
.soft,footer{color:var(--soft)}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-9999px}
.skip:focus{left:16px;top:8px;background:var(--card);padding:8px 12px;z-index:1}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:12px 0}
nav a{display:inline-block;padding:6px 0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:16px 0;padding:0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.facts dt{color:var(--soft);font-size:.85rem}
.facts dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
.facts dd small{display:block;font-size:.85rem;font-weight:400;color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:16px}
.chart,.card{margin:0;min-width:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px}
.chart.wide{grid-column:1/-1}
figcaption{font-weight:600}
.unit{font-weight:400;color:var(--soft)}
.chart>svg{display:block;width:100%;height:auto;margin-top:6px}
svg text{fill:var(--soft);font-size:12.5px;font-variant-numeric:tabular-nums}
svg .y{text-anchor:end;dominant-baseline:middle}
svg .x,svg .label{text-anchor:middle}
svg .grid{stroke:var(--line)}
svg .axis{stroke:var(--soft)}
svg .mark{stroke:var(--soft);stroke-dasharray:2 4}
svg text.mark{stroke:none}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0;padding:0;font-size:.9rem}
.legend svg{margin-right:6px}
details{margin-top:8px}
summary{cursor:pointer;color:var(--accent);padding:6px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:4px 0}
th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th[scope=row],thead th:first-child{text-align:left}
td.text{text-align:left;white-space:normal;overflow-wrap:anywhere}
.rows{display:grid;grid-template-columns:minmax(0,1fr);gap:16px}
.gallery{display:grid;grid-template-columns:auto minmax(0,1fr);gap:6px 18px;align-items:start}
.strip{list-style:none;display:flex;gap:8px;margin:0 0 8px;padding:2px;overflow-x:auto}
.strip li{flex:0 0 auto}
figure.picture{margin:0;width:76px;font-size:.75rem;line-height:1.25}
figure.picture img{display:block;width:76px;height:76px;object-fit:contain;image-rendering:pixelated;border-radius:6px;border:2px solid var(--line);background:var(--page)}
figure.picture.same img{border-color:var(--good)}
figure.picture figcaption{font-weight:400;color:var(--soft);overflow-wrap:anywhere;margin-top:3px}
.large figure.picture,.large figure.picture img{width:168px}
.large figure.picture img{height:auto}
.state{font-size:.85rem;font-weight:600;color:var(--soft);margin:0}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:16px}
.maps .card{display:flex;gap:10px}
.maps .three{display:grid;grid-template-columns:repeat(3,minmax(0,1fr))}
.maps .square{display:grid;grid-template-columns:repeat(2,minmax(0,1fr))}
.maps figure.picture,.maps figure.picture img{width:100%;height:auto}
.maps figure.picture{flex:1 1 0;min-width:0}
footer{padding-top:28px;padding-bottom:40px;font-size:.9rem}
@media (max-width:560px){svg text{font-size:17px}.gallery{grid-template-columns:minmax(0,1fr)}h1{font-size:1.4rem}}
@media print{details{display:none}.chart,.card{break-inside:avoid}}
`;
