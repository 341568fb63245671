package admin

import (
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
)

// profiler is the one CPU profile a process can take at a time.
type profiler struct {
	mu   sync.Mutex
	file *os.File // nil: none is being taken
}

// profileMode lets nobody but the proxy's user read a profile.
const profileMode = 0o600

func (p *profiler) start(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		return nil
	}
	file, err := openProfile(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(err, file.Close())
	}
	p.file = file
	return nil
}

func (p *profiler) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	pprof.StopCPUProfile()
	err := p.file.Close()
	p.file = nil
	return err
}

func openProfile(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("failure to start the profiler: the bootstrap has no admin.profile_path")
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, profileMode)
}

// switched reads ?enable=y|n and does one or the other.
func switched(w http.ResponseWriter, r *http.Request, on, off func() error) {
	q := r.URL.Query()
	do := map[string]func() error{"y": on, "n": off}[q.Get("enable")]
	if do == nil || len(q) != 1 {
		fail(w, http.StatusBadRequest, "?enable=<y|n>\n")
		return
	}
	if err := do(); err != nil {
		failWith(w, err)
		return
	}
	ok(w)
}

func (a *api) cpuProfiler(w http.ResponseWriter, r *http.Request) {
	switched(w, r, func() error { return a.cpu.start(a.ProfilePath) }, a.cpu.stop)
}

// heapProfiler writes the heap's profile when it is switched off. Go's runtime always samples, so there is nothing to
// switch on.
func (a *api) heapProfiler(w http.ResponseWriter, r *http.Request) {
	switched(w, r, func() error { return nil }, func() error {
		file, err := openProfile(a.ProfilePath)
		if err != nil {
			return err
		}
		return errors.Join(writeHeap(file), file.Close())
	})
}

func writeHeap(w io.Writer) error {
	runtime.GC() // the profile is of what was alive at the last collection
	return pprof.Lookup("heap").WriteTo(w, 0)
}

func (a *api) heapDump(w http.ResponseWriter, _ *http.Request) {
	streamed(w, "application/octet-stream", writeHeap)
}

// traceMutexes makes the runtime note who waits for locks.
func traceMutexes() { runtime.SetMutexProfileFraction(1) }

type contentionJSON struct {
	Contentions number `json:"num_contentions"`
	Current     number `json:"current_wait_cycles"`
	Lifetime    number `json:"lifetime_wait_cycles"`
}

func (a *api) contention(w http.ResponseWriter, _ *http.Request) {
	if !a.MutexTracing {
		_, _ = io.WriteString(w, "Mutex contention tracing is not enabled. To enable, run with --enable-mutex-tracing.\n")
		return
	}
	indented(w, contention())
}

// contention sums the runtime's records. Go doesn't tell the last wait alone.
func contention() (sum contentionJSON) {
	records := make([]runtime.BlockProfileRecord, 256)
	for {
		n, fits := runtime.MutexProfile(records)
		if fits {
			records = records[:n]
			break
		}
		records = make([]runtime.BlockProfileRecord, n+n/2)
	}
	for i := range records {
		sum.Contentions += number(records[i].Count)
		sum.Lifetime += number(records[i].Cycles)
	}
	return sum
}
