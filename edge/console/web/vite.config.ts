/** How the page is built: one script, one style sheet, no inline code, so that the strictest CSP serves it. */
import { defineConfig, type Plugin } from "vite";

/** uPlot hands out every way to draw a series, to join tables and to tell other places' time; a trend here has the first
 *  way alone and none of the rest, and they are left out: 6 kB of what a nurse loads. In another version of uPlot they may be written otherwise: then they stay, and the page is larger. */
const UNUSED = ["(paths.stepped = stepped);", "(paths.bars    = bars);", "(paths.spline  = monotoneCubic);", "uPlot.join = join;", "uPlot.tzDate  = tzDate;"];
const lean: Plugin = {
  name: "lean-uplot",
  transform(code, id) {
    if (!id.endsWith("uPlot.esm.js")) return null;
    const left = UNUSED.reduce((before, one) => before.replace(one, ""), code);
    if (UNUSED.some((one) => !code.includes(one))) this.warn("uPlot is written otherwise than UNUSED in vite.config.ts knows: what is not used stays in the page");
    return { code: left, map: null };
  },
};

export default defineConfig({
  base: "/",
  plugins: [lean],
  publicDir: false,
  define: { PAGE_BUILD: JSON.stringify(process.env["VIGIL_PAGE_BUILD"] ?? "") },
  build: {
    outDir: process.env["VIGIL_PAGE_OUT"] ?? "../static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
