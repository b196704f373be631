import { defineConfig } from 'vite';

// `npm run dev` serves the page by itself and sends the rest to a gateway that runs with `make run`, whose tokens are for anybody.
const gateway = { target: process.env.GATEWAY ?? 'http://127.0.0.1:8003', changeOrigin: false };

export default defineConfig({
  base: './',
  // The client is a link to its own directory; as a page would, it takes the page's socket.io-client.
  resolve: { preserveSymlinks: true },
  server: { host: '127.0.0.1', proxy: { '/socket.io': { ...gateway, ws: true }, '/demo/token': gateway } },
});
