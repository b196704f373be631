import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// The operators' page, built after the demo, whose build empties dist. `npm run dev:dashboard` serves it by itself and
// sends its socket to a gateway that runs with `make run`.
const gateway = { target: process.env.GATEWAY ?? "http://127.0.0.1:8003", changeOrigin: false };

export default defineConfig({
  root: fileURLToPath(new URL("dashboard", import.meta.url)),
  base: "/dashboard/",
  publicDir: false,
  build: {
    outDir: fileURLToPath(new URL("dist/dashboard", import.meta.url)),
    emptyOutDir: true,
    target: ["es2023", "chrome123", "firefox121", "safari17.5"],
    modulePreload: false, // one chunk
    assetsInlineLimit: 0, // the page's policy knows files, not data URLs
    license: { fileName: "assets/licenses.md" }, // of what is bundled, as those licences ask
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/dashboard/socket.io": { ...gateway, ws: true } },
  },
});
