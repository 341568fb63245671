package h2

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// resting waits until n of the crew wait for work.
func resting(t *testing.T, c *Crew, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := len(c.idle)
		c.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d wait, want %d", got, n)
		}
	}
}

// TestCrewIsUsedAgain: as many goroutines as requests at once, not as many as requests.
func TestCrewIsUsedAgain(t *testing.T) {
	crew := NewCrew(nil)
	defer crew.Close()
	const atOnce = 5
	var together sync.WaitGroup
	addr := serve(t, Options{Crew: crew}, func(s *ServerStream) {
		together.Done()
		together.Wait()
		echo(s)
	})
	client := netClient(t)
	for range 3 {
		together.Add(atOnce)
		var asked sync.WaitGroup
		for range atOnce {
			asked.Go(func() { ask(t, client, addr) })
		}
		asked.Wait()
		resting(t, crew, atOnce)
	}
	crew.Rest() // as many were needed since the beginning
	crew.Rest()
	resting(t, crew, 0)
}

func ask(t *testing.T, client *http.Client, addr string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", http.NoBody)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	resp.Body.Close()
}

// TestCrewKeepsWhoIsNeeded: of three that wait, one was needed since the last time.
func TestCrewKeepsWhoIsNeeded(t *testing.T) {
	crew := NewCrew(nil)
	for range 3 {
		crew.wait(&worker{make(chan *ServerStream, 1)})
	}
	crew.Rest()
	crew.wait(crew.take())
	crew.Rest()
	resting(t, crew, 1)
	crew.Close()
	resting(t, crew, 0)
	if crew.wait(&worker{make(chan *ServerStream, 1)}) {
		t.Error("one waits for a crew that is closed")
	}
}

// TestPanicOfOneRequest: it is reset, the others on its connection are answered.
func TestPanicOfOneRequest(t *testing.T) {
	caught := make(chan any, 1)
	crew := NewCrew(func(f func()) {
		defer func() {
			if value := recover(); value != nil {
				caught <- value
			}
		}()
		f()
	})
	defer crew.Close()
	addr := serve(t, Options{Crew: crew}, func(s *ServerStream) {
		if s.ID() == 3 {
			panic("three")
		}
		echo(s)
	})
	client := netClient(t)
	ask(t, client, addr)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", http.NoBody)
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Error("the request was answered")
	}
	if got := <-caught; got != "three" {
		t.Errorf("caught %v", got)
	}
	ask(t, client, addr)
}
