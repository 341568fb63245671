package plan

import (
	"fmt"
	"strings"
)

// Usage is the help text.
func Usage() string {
	var b strings.Builder
	b.WriteString(usageHead)
	for _, f := range flags() {
		name := f.name()
		if f.value != "" {
			name += " " + f.value
		}
		fmt.Fprintf(&b, "  %s\n        %s", name, f.usage)
		if v := f.variable(); v != "" && v != f.long && f.long != "" {
			fmt.Fprintf(&b, " [$%s]", v)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const usageHead = `pillion-capture [apply|verify|explain|diff|clean|watch] [flags]

Leads this network namespace's TCP connections into the sidecar's ports.

  apply    make the rules true; the default
  verify   compare the rules with the flags; a difference exits 126
  diff     what apply would change; a difference exits 79
  explain  the plan; with a packet (--from uid:1000 --to ADDRESS:PORT), its way through the rules
  clean    remove everything apply makes
  watch    apply, then repair what other programs change, until it is stopped; for machines without an agent

Exit codes: 0 done, 1 refused by the kernel, 64 bad flag or environment, 69 no usable backend, 77 NET_ADMIN missing,
79 diff found differences, 126 verification failed.

`
