//go:build linux

package capture_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// edits are what other programs do to our table.
var edits = []string{
	"flush chain inet pillion nat_out",
	"delete table inet pillion",
	"delete element inet pillion in_skip { 15090 }",
	"insert rule inet pillion nat_out return",
	"add table inet pillion { flags dormant; }",
}

// watched runs Watch in the namespace while work goes on beside it, and returns its repairs.
func watched(t *testing.T, pod *nstest.Pod, work func(repairs <-chan capture.Repair)) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	repairs := make(chan capture.Repair, 1000)
	started := make(chan struct{})
	ended := pod.Thread(func() error {
		return with(func(s capture.System) error {
			p, err := planOf(injected, s.Links)
			if err != nil {
				return err
			}
			if _, err := s.Apply(p, false); err != nil {
				return err
			}
			close(started)
			return s.Watch(ctx, p, func(r capture.Repair) { repairs <- r })
		})
	})
	<-started
	work(repairs)
	cancel()
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		return errors.New("watch doesn't end")
	}
}

func runNft(pod *nstest.Pod, t *testing.T, edit string) {
	t.Helper()
	pod.Must(t, func() error { return load(edit) })
}

func TestWatchRepairsWhatOthersChange(t *testing.T) {
	needNft(t)
	pod := nstest.NewPod(t)
	var took []time.Duration
	err := watched(t, pod, func(repairs <-chan capture.Repair) {
		for _, edit := range edits {
			runNft(pod, t, edit)
			changed := time.Now()
			select {
			case r := <-repairs:
				took = append(took, time.Since(changed))
				if r.Err != nil || len(r.Found) == 0 || r.Result.Changed == 0 {
					t.Errorf("%s: %+v", edit, r)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s isn't repaired", edit)
			}
			pod.Must(t, func() error {
				return with(func(s capture.System) error {
					p, err := planOf(injected, s.Links)
					return errors.Join(err, noDifference(s, p))
				})
			})
		}
		runNft(pod, t, "add table inet other")
		time.Sleep(100 * time.Millisecond)
		if len(repairs) > 0 {
			t.Errorf("another's table was repaired: %+v", <-repairs)
		}
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("repaired after %v", took) // 50 ms are the bar on a machine that does nothing else
}

// Against a program that undoes every repair watch slows down: after the first repairs there is one in 2 seconds.
func TestWatchDoesNotFight(t *testing.T) {
	t.Parallel()
	needNft(t)
	const atOnce, slowly = 21, 2
	pod := nstest.NewPod(t)
	var times []time.Time // of the edits
	err := watched(t, pod, func(repairs <-chan capture.Repair) {
		for range atOnce + slowly {
			times = append(times, time.Now())
			runNft(pod, t, "flush chain inet pillion nat_in")
			select {
			case <-repairs:
			case <-time.After(30 * time.Second):
				t.Fatalf("repair %d doesn't come", len(times))
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	for i := range atOnce - 1 {
		if times[i+1].Sub(times[i]) > time.Second {
			t.Log("the machine does too much else: to watch this is no fight")
			return
		}
	}
	if took := time.Since(times[atOnce]); took < slowly*time.Second {
		t.Errorf("%d repairs after the first %d took %s", slowly, atOnce, took)
	}
}

func TestWatchEndsWithoutTheRight(t *testing.T) {
	ns := nstest.New(t)
	err := <-ns.Thread(func() error {
		if err := nstest.DropNetAdmin(); err != nil {
			return err
		}
		return with(func(s capture.System) error {
			p, err := planOf(injected, s.Links)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return s.Watch(ctx, p, func(capture.Repair) {})
		})
	})
	if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") && !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("watch ends with %v", err)
	}
}
