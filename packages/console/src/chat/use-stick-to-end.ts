import { useEffect, useLayoutEffect, useRef } from 'react';

const NEAR_END = 120;

/**
 * Follows what is written, unless the reader has scrolled away from the end. Whoever sends something wants to see it:
 * `pending` brings them back.
 */
export function useStickToEnd(pending: string | undefined) {
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLOListElement>(null);
  const following = useRef(true);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (pending === undefined || !element) return;
    following.current = true;
    element.scrollTop = element.scrollHeight;
  }, [pending]);
  useEffect(() => {
    const element = scroller.current;
    if (!element || !content.current) return undefined;
    let top = element.scrollTop;
    const onScroll = () => {
      const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
      // What grows or is laid out above moves the end away; only a reader moves up.
      if (near) following.current = true;
      else if (element.scrollTop < top) following.current = false;
      top = element.scrollTop;
    };
    const follow = new ResizeObserver(() => {
      if (following.current) element.scrollTop = element.scrollHeight;
    });
    follow.observe(content.current);
    follow.observe(element);
    element.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      follow.disconnect();
      element.removeEventListener('scroll', onScroll);
    };
  }, []);
  return { scroller, content };
}
