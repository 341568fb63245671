package chaos

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

const (
	groups   = 2 // of clusters; each is what one path leads to
	perGroup = 4
	fewest   = 100 // updates, if the test isn't to last
)

// flapping is a control plane that changes its mind all the time. Version n of the routes says so in each answer.
type flapping struct {
	plane    *rig.Plane
	hosts    map[string][]string // of each cluster; the last is nobody's
	there    map[string]bool     // clusters
	up       map[string][]string // their present hosts
	version  atomic.Int64        // that was said last
	mu       sync.Mutex
	allowed  [][groups]string // by version: the clusters of each group's route, joined by blanks
	accepted atomic.Int64     // the version that was acknowledged last
}

func clusterName(group, n int) string { return string(rune('a'+group)) + strconv.Itoa(n) }

// newFlapping makes the clusters' backends, which answer with their cluster's name.
func newFlapping(t *testing.T) *flapping {
	f := &flapping{plane: rig.NewPlane(t), hosts: map[string][]string{}, there: map[string]bool{}, up: map[string][]string{}}
	closed := rig.Listen(t)
	closed.Close()
	for g := range groups {
		for n := range perGroup {
			name := clusterName(g, n)
			host := func() string {
				return rig.Served(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(w, name)
				})
			}
			f.hosts[name] = []string{host(), host(), closed.Addr().String()}
			f.there[name], f.up[name] = true, f.hosts[name][:2]
		}
	}
	f.allowed = append(f.allowed, [groups]string{})
	return f
}

// change does one thing to clusters or hosts; routes change every time.
func (f *flapping) change() {
	name := clusterName(rand.IntN(groups), rand.IntN(perGroup))
	switch rand.IntN(12) {
	case 0:
		f.there[name] = false
	case 1:
		f.up[name] = nil
	case 2, 3:
		f.up[name] = f.hosts[name] // with the dead one
	default:
		f.there[name], f.up[name] = true, f.hosts[name][:1+rand.IntN(2)]
	}
}

// say serves the next version.
func (f *flapping) say() {
	version := f.version.Load() + 1
	r := rig.Resources{Listeners: []rig.JSON{rig.Listener(rig.Manager(nil, nil), nil)}}
	for _, name := range f.names() {
		if !f.there[name] {
			continue
		}
		options := rig.JSON{"connect_timeout": fmt.Sprintf("%ds", 10+version%3)} // a changed cluster, now and then
		if name[1]%2 == 1 {
			options = rig.With(options, rig.HTTP2())
		}
		r.Clusters = append(r.Clusters, rig.DynamicCluster(name, options))
		r.Endpoints = append(r.Endpoints, rig.Endpoints(name, f.up[name]...))
	}
	var routes []rig.JSON
	var allowed [groups]string
	for g := range groups {
		route, names := f.route(g, version)
		routes, allowed[g] = append(routes, route), names
	}
	r.Routes = []rig.JSON{rig.Routes(routes...)}
	f.mu.Lock()
	f.allowed = append(f.allowed, allowed)
	f.mu.Unlock()
	f.version.Store(version) // before anybody may see it
	f.plane.Serve(strconv.FormatInt(version, 10), r)
}

func (f *flapping) names() (all []string) {
	for name := range f.hosts {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// route leads a group's path to one or two of its clusters, which may not be there.
func (f *flapping) route(g int, version int64) (rig.JSON, string) {
	one, other := clusterName(g, rand.IntN(perGroup)), clusterName(g, rand.IntN(perGroup))
	action := rig.JSON{"timeout": "0s", "cluster": one}
	names := one
	if one != other {
		names += " " + other
		delete(action, "cluster")
		action["weighted_clusters"] = rig.JSON{"clusters": []rig.JSON{{"name": one, "weight": 1}, {"name": other, "weight": 1}}}
	}
	return rig.JSON{
		"match": rig.JSON{"prefix": "/" + string(rune('a'+g))}, "route": action,
		"response_headers_to_add": []rig.JSON{{"header": rig.JSON{"key": "x-version", "value": strconv.FormatInt(version, 10)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
	}, names
}

// wait waits until the proxy has the version said last.
func (f *flapping) wait(t *testing.T) {
	t.Helper()
	want := f.version.Load()
	rig.Eventually(t, "an update is acknowledged", func() error {
		if got := f.plane.RoutesAcked(); got != strconv.FormatInt(want, 10) {
			return fmt.Errorf("version %s, said %d", got, want)
		}
		return nil
	})
	f.accepted.Store(want)
}

// judge holds an answer against the routes of the version it tells, which must be one of the time of its request.
func (f *flapping) judge(group int, earliest int64, told string, saw verdict) error {
	version, err := strconv.ParseInt(told, 10, 64)
	latest := f.version.Load()
	switch {
	case err != nil && saw.status != 0:
		return fmt.Errorf("the answer %+v tells no version", saw)
	case saw.status == 0 || saw.status != http.StatusOK:
		return nil
	case version < earliest || version > latest:
		return fmt.Errorf("the answer is from version %d, it can only be from %d to %d", version, earliest, latest)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if names := f.allowed[version][group]; !slices.Contains(strings.Fields(names), saw.body) {
		return fmt.Errorf("an answer from %s, the routes of version %d say %s", saw.body, version, names)
	}
	return nil
}

// TestUpdates changes routes, clusters and endpoints under load: 10 000 times or for PILLION_SOAK, else some hundred.
// None of the connections is closed for it, and each request goes where the routes of its time lead.
func TestUpdates(t *testing.T) {
	before := measure(t)
	t.Run("updates", func(t *testing.T) {
		f := newFlapping(t)
		f.say()
		p := rig.Start(t, f.plane.Bootstrap())
		f.wait(t)
		books := newLedger()
		var load sync.WaitGroup
		var over atomic.Bool
		for i := range 4 {
			load.Go(func() { f.load(t, books, rig.Client(t, 1+i%2), p.Address, &over) })
		}
		steady := rig.Dial(t, p.Address) // one connection lives through all of it
		nowhere(t, steady, "GET /start HTTP/1.1\r\nHost: a\r\n\r\n")
		began := time.Now()
		updates := f.flap(t, soak(t))
		t.Logf("%d updates in %v", updates, time.Since(began))
		over.Store(true)
		load.Wait()
		nowhere(t, steady, rig.End)
		if refused := f.plane.Refused(); len(refused) > 0 {
			t.Errorf("refused: %q", refused)
		}
		log := counted(t, p, func() []line { return lines(t, p.Log()) })
		books.settle(t, log)
		f.agree(t, books, log)
	})
	before.back(t)
}

// nowhere sends a request that no route takes, and reads the answer to it.
func nowhere(t *testing.T, c net.Conn, request string) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(rig.Patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Errorf("a connection was closed: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("a connection was closed: %v", err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// flap makes updates until there are enough, and returns how many it made.
func (f *flapping) flap(t *testing.T, lasting time.Duration) (n int) {
	enough := fewest
	if lasting > 0 {
		enough = 10000
	}
	for end := time.Now().Add(lasting); n < enough || time.Now().Before(end); n++ {
		f.change()
		f.say()
		f.wait(t)
	}
	return n
}

func (f *flapping) load(t *testing.T, books *ledger, client *http.Client, address string, over *atomic.Bool) {
	for n := 0; !over.Load(); n++ {
		group := n % groups
		id, earliest := books.id(), f.accepted.Load()
		method, body := http.MethodGet, io.Reader(http.NoBody)
		if n%3 == 0 {
			method, body = http.MethodPost, strings.NewReader(strings.Repeat("b", 20000))
		}
		r, err := http.NewRequest(method, fmt.Sprintf("http://%s/%c", address, 'a'+group), body)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("X-Id", id)
		resp, err := client.Do(r)
		if err != nil {
			t.Errorf("no answer at all: %v", err)
			return
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		saw := verdict{status: resp.StatusCode, whole: err == nil, body: string(text)}
		books.note(id, saw)
		if err := f.judge(group, earliest, resp.Header.Get("X-Version"), saw); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// agree: the cluster in the log is the one whose backend answered.
func (f *flapping) agree(t *testing.T, books *ledger, log []line) {
	for _, l := range log {
		if saw := books.seen[l.id]; saw.status == http.StatusOK && saw.body != l.cluster {
			t.Errorf("%s was answered by %s, the log says %s", l.id, saw.body, l.cluster)
		}
	}
}
