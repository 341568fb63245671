package source

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// world is what a control plane has: words by resource. What names what is in the words.
type world map[resource]string

var (
	worldKinds = []kind{clusters, endpoints, listeners, extensions, routes, secrets}
	worldNames = []string{"a", "b", "c"}
)

// change does something to the world.
func (w world) change(r *rand.Rand) {
	at := resource{worldKinds[r.IntN(len(worldKinds))], worldNames[r.IntN(len(worldNames))]}
	if r.IntN(4) == 0 {
		delete(w, at)
		return
	}
	w[at] = w.words(at, r)
}

func (w world) words(at resource, r *rand.Rand) string {
	words := []string{strconv.Itoa(r.IntN(4))}
	some := func(format string) {
		if r.IntN(2) == 0 {
			words = append(words, fmt.Sprintf(format, worldNames[r.IntN(len(worldNames))]))
		}
	}
	switch at.kind {
	case clusters:
		some("eds:%s")
		some("secret:%s")
	case listeners:
		some("route:%s")
		some("ecds:%s")
		some("secret:%s")
		some("to:%s")
		some("at:10.0.0." + strconv.Itoa(int(at.name[0]-'a'+1)) + ":80#%s")
	case routes:
		some("to:%s")
	case extensions:
		some("secret:%s")
	}
	for i, word := range words { // an address per listener: who gets a contested one depends on who came first
		words[i], _, _ = strings.Cut(word, "#")
	}
	if r.IntN(5) == 0 {
		words = append(words, "bad")
	}
	return strings.Join(words, " ")
}

// heal takes everything bad out of the world and adds what is missing: what serves instead of a refused or an unfinished
// resource is history, which a fresh start lacks.
func (w world) heal() {
	for _, k := range []kind{endpoints, extensions, routes, secrets} {
		for _, name := range worldNames {
			if _, exists := w[resource{k, name}]; !exists {
				w[resource{k, name}] = "healed"
			}
		}
	}
	for at, words := range w {
		w[at] = strings.TrimSuffix(words, " bad")
	}
}

// server is one stream's delta server: it knows what it sent, and sends what differs of what is wanted.
type server struct {
	world   world
	sent    map[resource]string
	wanted  map[resource]bool
	version int
}

func newServer(w world) *server {
	return &server{world: w, sent: map[resource]string{}, wanted: map[resource]bool{}}
}

// push brings one kind up to date. It reports whether there was anything to say.
func (v *server) push(s *Source, o *origin, k kind) bool {
	v.version++
	r := xdsclient.Response{Type: typeURLs[k]}
	for _, name := range worldNames {
		at := resource{k, name}
		words, exists := v.world[at]
		last, known := v.sent[at]
		switch {
		case k != clusters && k != listeners && !v.wanted[at]:
		case exists && (!known || last != words):
			each := toy(k, name, words)
			each.Version = strconv.Itoa(v.version)
			r.Resources = append(r.Resources, each)
			v.sent[at] = words
		case !exists && known:
			r.Removed = append(r.Removed, name)
			delete(v.sent, at)
		}
	}
	if len(r.Resources)+len(r.Removed) == 0 && v.version > 2*len(worldKinds) {
		return false
	}
	_ = o.Apply(r) // a NACK is as good as an ACK to this server
	for _, each := range worldKinds {
		v.follow(s, each) // as the client does after each answer
	}
	return len(r.Resources)+len(r.Removed) > 0
}

// follow does what requests for names do: what is named no longer, or anew, counts as not sent.
func (v *server) follow(s *Source, k kind) {
	for _, name := range worldNames {
		at := resource{k, name}
		_, wanted := s.wanted[k][name]
		if k != clusters && k != listeners && wanted != v.wanted[at] {
			v.wanted[at] = wanted
			delete(v.sent, at)
		}
	}
}

// settleAll pushes until nothing is left to say.
func (v *server) settleAll(s *Source, o *origin) {
	for said := true; said; {
		said = false
		for _, k := range worldKinds {
			said = v.push(s, o, k) || said
		}
	}
}

// shape is all of a Source that the outside can tell, but for versions, times, and removed clusters that still serve.
func shape(s *Source) string {
	var lines []string
	if !s.Ready() {
		s.publish() // a fresh start publishes nothing before it is whole; here we want to see what it would
	}
	for k, table := range s.tables {
		for name, e := range table {
			if _, leaving := s.doomed[e]; leaving {
				continue
			}
			line := words[k] + " " + name
			if e.active != nil {
				_, w := wordsOf(new(inflater).bytes(e.active.raw))
				line += " active " + strings.Join(w, " ")
			}
			if e.warming != nil {
				_, w := wordsOf(new(inflater).bytes(e.warming.raw))
				line += " warming " + strings.Join(w, " ")
			}
			if e.refused != nil {
				line += " refused"
			}
			lines = append(lines, line)
		}
	}
	for k := range s.wanted {
		for name := range s.wanted[k] {
			if !doomedWant(s, kind(k), name) {
				lines = append(lines, fmt.Sprint("wants ", words[k], " ", name))
			}
		}
	}
	for l := range s.Runtime().Load().Listeners {
		lines = append(lines, "serves "+l.Name)
	}
	for c := range s.Runtime().Load().Clusters {
		if !isDoomed(s, s.tables[clusters][c.Name]) {
			lines = append(lines, "reaches "+c.Name)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func isDoomed(s *Source, e *entry) bool {
	_, yes := s.doomed[e]
	return yes
}

// doomedWant reports whether only removed clusters want a resource.
func doomedWant(s *Source, k kind, name string) bool {
	doomed, others := false, false
	for _, table := range s.tables {
		for _, e := range table {
			for _, v := range []*version{e.active, e.warming} {
				if v != nil && slices.ContainsFunc(v.needs, func(n need) bool { return n.resource == resource{k, name} }) {
					doomed, others = doomed || isDoomed(s, e), others || !isDoomed(s, e)
				}
			}
		}
	}
	return doomed && !others
}

// TestRandomUpdatesEndLikeAFreshStart: 10 000 histories of good, bad and half-arrived updates end where a start with the
// last state does.
func TestRandomUpdatesEndLikeAFreshStart(t *testing.T) {
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := world{}
		old, ads, _ := toySource(t)
		history := newServer(w)
		for range 4 + r.IntN(12) {
			w.change(r)
			if r.IntN(2) == 0 {
				history.push(old, ads, worldKinds[r.IntN(len(worldKinds))])
			}
		}
		w.heal()
		history.settleAll(old, ads)
		fresh, ads2, _ := toySource(t)
		newServer(w).settleAll(fresh, ads2)
		if got, want := shape(old), shape(fresh); got != want {
			t.Fatalf("seed %d: after its history\n%s\n\nfresh\n%s", seed, got, want)
		}
	}
}
