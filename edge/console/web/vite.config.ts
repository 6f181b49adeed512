/** How the page is built: one script, one style sheet, no inline code, so that the strictest CSP serves it. */
import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
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
