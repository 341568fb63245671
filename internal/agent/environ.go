package agent

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/log"
)

// reader collects mistakes instead of stopping at the first. Notes are of what it can do without.
type reader struct {
	env    map[string]string
	files  fs.FS // nil: none
	faults []string
	notes  []string
}

func parseEnviron(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

func (r *reader) result() error {
	if len(r.faults) == 0 {
		return nil
	}
	return fmt.Errorf("settings are wrong: %s", strings.Join(r.faults, "; "))
}

func (r *reader) fault(name, value, want string) {
	r.faults = append(r.faults, fmt.Sprintf("%s is %q, want %s", name, value, want))
}

// maxNotes bounds what is told of one start.
const maxNotes = 32

func (r *reader) note(format string, args ...any) {
	if len(r.notes) < maxNotes {
		r.notes = append(r.notes, fmt.Sprintf(format, args...))
	}
}

func (r *reader) text(name string, to *string) { *to = cmp.Or(r.env[name], *to) }

func (r *reader) address(name string, to *string) {
	value := r.env[name]
	if value == "" {
		return
	}
	if _, err := netip.ParseAddr(value); err != nil {
		r.fault(name, value, "an IP address")
		return
	}
	*to = value
}

func (r *reader) port(name string, to *uint16) {
	if value := r.env[name]; value != "" {
		r.portOf(name, value, to)
	}
}

func (r *reader) portOf(name, value string, to *uint16) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		r.fault(name, value, "a port, 1 to 65535")
		return
	}
	*to = uint16(n)
}

// portOrNone is port, with 0 for none.
func (r *reader) portOrNone(name string, to *uint16) {
	if r.env[name] == "0" {
		*to = 0
		return
	}
	r.port(name, to)
}

func (r *reader) duration(name string, to *time.Duration) {
	if value := r.env[name]; value != "" {
		r.durationOf(name, value, to)
	}
}

// durationOf also takes plain seconds, as Kubernetes writes a grace period.
func (r *reader) durationOf(name, value string, to *time.Duration) {
	d, err := time.ParseDuration(value)
	if seconds, errPlain := strconv.ParseUint(value, 10, 31); errPlain == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d < 0 {
		r.fault(name, value, "a duration such as 30s")
		return
	}
	*to = d
}

func (r *reader) boolean(name string, to *bool) {
	value := r.env[name]
	if value == "" {
		return
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		r.fault(name, value, "true or false")
		return
	}
	*to = b
}

func (r *reader) count(name string, to *int64) {
	value := r.env[name]
	if value == "" {
		return
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 {
		r.fault(name, value, "a number above zero")
		return
	}
	*to = n
}

// cores rounds a CPU limit up; Kubernetes hands it down in whole cores or as a fraction.
func (r *reader) cores(name string, to *int) {
	value := r.env[name]
	if value == "" {
		return
	}
	limit, err := strconv.ParseFloat(value, 64)
	if err != nil || !(limit >= 0 && limit <= 1<<16) { // the negation refuses NaN
		r.fault(name, value, "a number of cores")
		return
	}
	*to = int(math.Ceil(limit))
}

// concurrencyOf takes a number of threads; 0 is the limit of the container, which stands already.
func (r *reader) concurrencyOf(name, value string, to *int) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 1<<16 {
		r.fault(name, value, "a number of threads, 0 for the limit of the container")
		return
	}
	if n > 0 {
		*to = n
	}
}

func (r *reader) level(name, value string) string {
	if _, err := log.ParseLevel(value); err != nil {
		r.fault(name, value, "one of "+strings.Join(log.Levels, ", "))
	}
	return value
}
