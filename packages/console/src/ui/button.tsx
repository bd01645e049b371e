import type { ButtonHTMLAttributes } from 'react';

export type ButtonLook = 'primary' | 'secondary' | 'ghost' | 'danger';
export type ButtonSize = 'medium' | 'small' | 'icon';

const LOOKS: Record<ButtonLook, string> = {
  primary: 'bg-accent text-accent-text hover:bg-accent-hover border-transparent',
  secondary: 'bg-surface text-text border-line-strong hover:bg-hover',
  ghost: 'text-soft border-transparent hover:bg-hover hover:text-text',
  danger: 'bg-surface text-bad border-line-strong hover:bg-bad-soft',
};
const SIZES: Record<ButtonSize, string> = {
  medium: 'h-9 px-3.5 gap-2',
  small: 'h-7 px-2.5 gap-1.5 text-xs',
  icon: 'size-8 shrink-0',
};

/** Also for links that look like a button. */
export function buttonClass(look: ButtonLook = 'secondary', size: ButtonSize = 'medium'): string {
  return `inline-flex items-center justify-center rounded-lg border font-medium whitespace-nowrap transition-colors disabled:opacity-50 ${LOOKS[look]} ${SIZES[size]}`;
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: ButtonLook;
  size?: ButtonSize;
}

export function Button({ look = 'secondary', size = 'medium', className = '', ...rest }: ButtonProps) {
  return <button type="button" {...rest} className={`${buttonClass(look, size)} ${className}`} />;
}
