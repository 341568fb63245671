package rig

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// Settled notes how many goroutines and descriptors there are. What it returns waits until there are no more than that.
func Settled(t testing.TB) (check func()) {
	t.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
	return func() {
		t.Helper()
		Eventually(t, "goroutines and descriptors", func() error {
			g, d := runtime.NumGoroutine(), openFiles(t)
			if g <= goroutines && d <= descriptors {
				return nil
			}
			stacks := make([]byte, 1<<18)
			return fmt.Errorf("%d goroutines, there were %d; %d descriptors, there were %d\n%s", g, goroutines, d, descriptors,
				stacks[:runtime.Stack(stacks, true)])
		})
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// Heap is how many bytes live objects take.
func Heap() uint64 {
	runtime.GC()
	runtime.GC() // what sync.Pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
