import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router';
import { AgentPage } from './agents/agent-page.tsx';
import { AgentsPage } from './agents/agents-page.tsx';
import { exchangeSearch } from './exchanges/search.ts';
import { ModelsPage } from './models/models-page.tsx';
import { NotFound } from './shell/not-found.tsx';
import { Shell } from './shell/shell.tsx';
import { ErrorState } from './ui/states.tsx';

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: ErrorState });

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/agents', replace: true });
  },
});

const agents = createRoute({ getParentRoute: () => root, path: '/agents', component: AgentsPage });

export const agentTabs = ['overview', 'tools', 'access', 'yaml'] as const;
export type AgentTab = (typeof agentTabs)[number];
const agent = createRoute({
  getParentRoute: () => root,
  path: '/agents/$agent',
  component: AgentPage,
  validateSearch: ({ tab }): { tab?: AgentTab } => {
    const known = agentTabs.find((name) => name === tab);
    return known === undefined || known === 'overview' ? {} : { tab: known };
  },
});

const models = createRoute({ getParentRoute: () => root, path: '/models', component: ModelsPage });

const chats = createRoute({
  getParentRoute: () => root,
  path: '/chat',
  component: lazyRouteComponent(() => import('./chat/chat-layout.tsx'), 'ChatLayout'),
  validateSearch: ({ q }): { q?: string } => (typeof q === 'string' && q !== '' ? { q } : {}),
});
const chatHome = createRoute({
  getParentRoute: () => chats,
  path: '/',
  component: lazyRouteComponent(() => import('./chat/chat-home.tsx'), 'ChatHome'),
});
const newChat = createRoute({
  getParentRoute: () => chats,
  path: '$agent',
  component: lazyRouteComponent(() => import('./chat/new-chat.tsx'), 'NewChat'),
});
const chat = createRoute({
  getParentRoute: () => chats,
  path: '$agent/$session',
  component: lazyRouteComponent(() => import('./chat/chat-page.tsx'), 'ChatPage'),
});

const exchanges = createRoute({
  getParentRoute: () => root,
  path: '/exchanges',
  component: lazyRouteComponent(() => import('./exchanges/exchanges-page.tsx'), 'ExchangesPage'),
  validateSearch: exchangeSearch,
});

const routeTree = root.addChildren([
  home,
  agents,
  agent,
  models,
  chats.addChildren([chatHome, newChat, chat]),
  exchanges,
]);

export const router = createRouter({ routeTree, basepath: '/ui', defaultPreload: false, scrollRestoration: false });

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
