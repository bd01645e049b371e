import { ExternalLink, ImageOff } from 'lucide-react';
import { isValidElement, memo, type ReactNode } from 'react';
import ReactMarkdown, { type Components } from 'react-markdown';
import remarkGfm from 'remark-gfm';
import { CodeBlock } from '../ui/code-block.tsx';
import { ScrollArea } from '../ui/scroll-area.tsx';

const PLUGINS = [remarkGfm];

/** Text of a model or a tool is a stranger's: HTML stays text, links show where they go, images are not fetched. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS}>
        {text}
      </ReactMarkdown>
    </div>
  );
});

const COMPONENTS: Components = {
  a: ({ href, children }) => <SafeLink href={href}>{children}</SafeLink>,
  img: ({ src, alt }) => <UnloadedImage source={typeof src === 'string' ? src : ''} text={alt ?? ''} />,
  pre: ({ children }) => <Pre>{children}</Pre>,
  input: ({ checked }) => <span>{checked === true ? '☑' : '☐'} </span>,
  table: ({ children }) => (
    <ScrollArea label="Table" className="overflow-x-auto">
      <table>{children}</table>
    </ScrollArea>
  ),
};

/** The host of an address that a browser may be sent to. */
export function hostOf(href: string | undefined): string | undefined {
  if (href === undefined || !URL.canParse(href)) return undefined;
  const { protocol, host } = new URL(href);
  return protocol === 'https:' || protocol === 'http:' ? host : undefined;
}

function SafeLink({ href, children }: { href: string | undefined; children?: ReactNode }) {
  const host = hostOf(href);
  if (host === undefined) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" referrerPolicy="no-referrer">
      {children}
      <span className="ml-1 inline-flex items-center gap-0.5 text-xs text-soft">
        ({host}
        <ExternalLink size={11} aria-hidden="true" />)
      </span>
    </a>
  );
}

function UnloadedImage({ source, text }: { source: string; text: string }) {
  return (
    <span className="inline-flex max-w-full items-center gap-1.5 rounded-md border border-dashed border-line-strong px-2 py-0.5 text-xs text-soft">
      <ImageOff size={13} aria-hidden="true" />
      <span className="break-words">
        Image not loaded: {text || 'without description'} ({hostOf(source) ?? 'no address'})
      </span>
    </span>
  );
}

function Pre({ children }: { children?: ReactNode }) {
  const props = isValidElement<{ className?: string; children?: ReactNode }>(children) ? children.props : {};
  const language = /language-([\w+-]{1,20})/.exec(props.className ?? '')?.[1];
  return <CodeBlock label={language ?? 'Code'} text={String(props.children ?? '').replace(/\n$/, '')} tall />;
}
