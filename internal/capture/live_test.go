//go:build linux

package capture_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/live"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// liveSets are a live API over the kernel of a namespace; its clock stands still until told otherwise.
func liveSets(t *testing.T, ns *nstest.Namespace) (l *live.Live, kernel *nft.Backend, clock *time.Time) {
	now := time.Now()
	ns.Must(t, func() (err error) {
		kernel, err = nft.Open()
		return err
	})
	t.Cleanup(func() { _ = kernel.Close() })
	return live.New(inside{ns, kernel}, func() time.Time { return now }), kernel, &now
}

// inside does all work on the namespace's thread: a backend that opens its socket again does so where it's called.
type inside struct {
	ns     *nstest.Namespace
	kernel *nft.Backend
}

func (i inside) AddElements(set string, list []plan.Element) error {
	return i.ns.Do(func() error { return i.kernel.AddElements(set, list) })
}

func (i inside) RemoveElements(lists map[string][]plan.Element) error {
	return i.ns.Do(func() error { return i.kernel.RemoveElements(lists) })
}

func element(kind plan.Kind, text string) plan.Element {
	e, err := plan.ParseElement(kind, text)
	if err != nil {
		panic(err)
	}
	return e
}

func arrivesAt(t *testing.T, ns *nstest.Namespace, dst string) (port uint16) {
	t.Helper()
	ns.Must(t, func() error {
		a, err := nstest.Connect(nstest.Dial{UID: 5, GID: 5, Dst: addrPort(dst)})
		port = a.Port
		return err
	})
	return port
}

// What is added is captured when Add returns, stays over an apply, and isn't captured once it is swept away.
func TestLiveElements(t *testing.T) {
	pod := servedPod(t)
	use := func(line string) {
		t.Helper()
		pod.Must(t, func() error { _, _, err := apply(line); return err })
	}
	use(registered)
	l, _, clock := liveSets(t, pod.Namespace)
	for _, c := range []struct {
		set, element, dst string
		from              *nstest.Namespace
		free              uint16
	}{
		{plan.SetVIP6, "fd99::1", "[fd99::1]:80", pod.Namespace, 80},
		{plan.SetIn4, "10.77.0.2:8081", "10.77.0.2:8081", pod.Peer, 8081},
		{plan.SetIn6, "[fd77::2]:8081", "[fd77::2]:8081", pod.Peer, 8081},
	} {
		expect := func(when string, want uint16) {
			t.Helper()
			if port := arrivesAt(t, c.from, c.dst); port != want {
				t.Errorf("%s %s: a connection to %s arrived at port %d, want %d", c.element, when, c.dst, port, want)
			}
		}
		kind, _ := plan.LiveKind(c.set)
		e := element(kind, c.element)
		expect("before", c.free)
		for range 2 { // the second time it's there already
			if err := l.Add(c.set, time.Minute, e); err != nil {
				t.Fatal(err)
			}
			expect("added", 15001)
		}
		use(registered + " -o 9999")
		expect("after an apply", 15001)
		*clock = clock.Add(time.Hour)
		if _, err := l.Sweep(); err != nil {
			t.Fatal(err)
		}
		expect("swept", c.free)
	}
	if err := l.Remove(plan.SetIn4, element(plan.KindIPv4Port, "10.77.0.2:1"), element(plan.KindIPv4Port, "10.77.0.2:8080")); err != nil {
		t.Fatal(err)
	}
	if removed, err := l.Sweep(); removed != 2 || err != nil { // one of them isn't there
		t.Errorf("removed %d, %v", removed, err)
	}
	if port := arrivesAt(t, pod.Peer, "10.77.0.2:8080"); port != 8080 {
		t.Errorf("removed beside one that wasn't there, and still captured at %d", port)
	}
	use(injected)
	if err := l.Add(plan.SetIn4, 0, element(plan.KindIPv4Port, "10.77.0.2:80")); !errors.Is(err, nft.ErrNoLiveSet) {
		t.Errorf("without Listed mode: %v", err)
	}
}

// Elements can be added to a large set, and an apply neither reads nor loses them. `make bench AREA=capture` says how
// long one takes.
func TestInsertAmongTwentyThousand(t *testing.T) {
	pod := servedPod(t)
	pod.Must(t, func() error { _, _, err := apply(registered); return err })
	l, kernel, _ := liveSets(t, pod.Namespace)
	var list []plan.Element
	a := netip.MustParseAddr("240.0.0.1")
	for range 20000 {
		list, a = append(list, plan.Element{Addr: a}), a.Next()
	}
	if err := l.Add(plan.SetVIP4, 0, list...); err != nil {
		t.Fatal(err)
	}
	have, err := kernel.Elements(plan.SetVIP4)
	if err != nil || len(have) < len(list) {
		t.Fatalf("the set holds %d elements, %v", len(have), err)
	}
	const more = 51
	for range more {
		must(t, l.Add(plan.SetVIP4, time.Minute, plan.Element{Addr: a}))
		a = a.Next()
	}
	pod.Must(t, func() error {
		_, result, err := apply(registered)
		if result.Changed != 0 {
			t.Errorf("a second apply changed %d", result.Changed)
		}
		return err
	})
	if have, err = kernel.Elements(plan.SetVIP4); err != nil || len(have) < len(list)+more {
		t.Errorf("the set holds %d elements, %v", len(have), err)
	}
}

// As a resolver does: insert, answer, and the application connects at once. No connection escapes, and applies meanwhile
// lose no element.
func TestInsertedIsCapturedAtOnce(t *testing.T) {
	const rounds = 500
	pod := servedPod(t)
	lines := [2]string{registered, registered + " -o 9999"}
	use := func(line string) { pod.Must(t, func() error { _, _, err := apply(line); return err }) }
	use(lines[0])
	l, kernel, _ := liveSets(t, pod.Namespace)
	done := pod.Thread(func() error {
		for i := range rounds / 5 {
			if _, _, err := apply(lines[i%2]); err != nil {
				return err
			}
		}
		return nil
	})
	a := netip.MustParseAddr("240.0.0.1") // nobody has these: what escapes arrives nowhere
	for range rounds {
		must(t, l.Add(plan.SetVIP4, 0, plan.Element{Addr: a}))
		pod.Must(t, func() error {
			got, err := nstest.Connect(nstest.Dial{UID: 5, GID: 5, Dst: netip.AddrPortFrom(a, 80)})
			if err == nil && (got.Port != 15001 || got.Original.Addr() != a) {
				t.Errorf("a connection to %s arrived at port %d as one to %s", a, got.Port, got.Original)
			}
			return err
		})
		a = a.Next()
	}
	must(t, <-done)
	pod.Must(t, func() error {
		have, err := kernel.Elements(plan.SetVIP4)
		if len(have) < rounds {
			t.Errorf("the set holds %d elements of %d", len(have), rounds)
		}
		return err
	})
}
