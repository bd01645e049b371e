import { ApiError, createClient } from '@onbehalf/client';
import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query';

/** The page comes from the server that it talks to; a cookie that scripts cannot read signs its requests in. */
export const client = createClient({ baseUrl: '', csrf: 'cookie' });

/** Whatever is refused for want of a sign-in asks at once who is signed in, and the answer is shown. */
function noticeRefusal(error: Error) {
  if (error instanceof ApiError && error.status === 401) askWhoIsSignedIn();
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      if (query.queryKey[0] !== 'me') noticeRefusal(error);
    },
  }),
  mutationCache: new MutationCache({ onError: noticeRefusal }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (failures, error) =>
        failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      retryDelay: (attempt) => 400 * 2 ** attempt,
    },
  },
});

export function askWhoIsSignedIn(): void {
  queryClient.invalidateQueries({ queryKey: ['me'] }).catch(() => undefined);
}
