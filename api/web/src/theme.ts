import { byId } from "./dom";

const themes = ["auto", "light", "dark"] as const;

/** Auto follows the system; the choice is kept in this browser. */
export function themeSwitch(): void {
  const button = byId<HTMLButtonElement>("theme");
  let theme = themes.find((t) => t === localStorage.getItem("theme")) ?? "auto";
  const apply = (): void => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length] ?? "auto";
    localStorage.setItem("theme", theme);
    apply();
  });
  apply();
}
