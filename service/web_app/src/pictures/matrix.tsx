// A table whose numbers are also areas: how often each pair was told.

export function Matrix({ values, table, text, label }: { values: readonly (string | number)[]; table: readonly (readonly number[])[]; text: (value: string | number) => string; label: string }) {
  const most = Math.max(1, ...table.flat());
  return (
    <div class="scrolls" tabIndex={0} role="region" aria-label={label}>
      <table class="matrix">
        <caption class="hidden">{label}</caption>
        <thead>
          <tr>
            <td />
            {values.map((value) => <th key={value} scope="col">{text(value)}</th>)}
          </tr>
        </thead>
        <tbody>
          {values.map((value, row) => (
            <tr key={value}>
              <th scope="row">{text(value)}</th>
              {(table[row] ?? []).map((count, column) => (
                <td key={column} class={row === column ? "alike" : ""}>
                  {count > 0 && (
                    <svg viewBox="0 0 40 40" aria-hidden="true">
                      <circle cx="20" cy="20" r={Math.sqrt(count / most) * 18} />
                    </svg>
                  )}
                  <span>{count || ""}</span>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
