import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defaultClientConditions, defineConfig } from 'vite';

/** Served by the platform under /ui/, which allows no inline script or style and no other host. */
export default defineConfig({
  base: '/ui/',
  plugins: [react(), tailwindcss()],
  resolve: { conditions: ['onbehalf-source', ...defaultClientConditions] },
  build: { modulePreload: { polyfill: false }, assetsInlineLimit: 0, chunkSizeWarningLimit: 700 },
});
