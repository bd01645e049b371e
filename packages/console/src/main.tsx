/**
 * The console: what a person sees of the server, in a browser. It speaks the public HTTP API through `@onbehalf/client`
 * and nothing else, keeps its state in the address, and never holds a token: a cookie that it cannot read signs it in.
 */
import { CSPProvider } from '@base-ui/react/csp-provider';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { queryClient } from './api/client.ts';
import { router } from './router.tsx';
import { Gate } from './sign-in/gate.tsx';
import './styles.css';

const place = document.getElementById('root');
if (place)
  createRoot(place).render(
    <StrictMode>
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queryClient}>
          <Gate>
            <RouterProvider router={router} />
          </Gate>
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  );
