import { defineConfig } from "vite";

// `npm run dev` serves the page by itself and sends everything else to a gateway that runs with `make run`.
// Host stays the browser's, since the gateway compares it with Origin.
const gateway = { target: process.env.GATEWAY ?? "http://127.0.0.1:8003", changeOrigin: false };

export default defineConfig({
  base: "/demo/",
  publicDir: "public", // its .keep is what stays of dist in the repository
  build: {
    target: ["es2023", "chrome123", "firefox121", "safari17.5"],
    modulePreload: false, // one chunk
    assetsInlineLimit: 0, // the page's policy knows files, not data URLs
    license: { fileName: "assets/licenses.md" }, // of what is bundled, as those licences ask
  },
  server: {
    host: "127.0.0.1",
    proxy: {
      "/socket.io": { ...gateway, ws: true },
      "/stats": gateway,
      "^/demo/(token|publish)$": gateway,
    },
  },
});
