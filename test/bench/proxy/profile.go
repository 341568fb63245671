//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profile loads Pillion once more and keeps its CPU profile as <case>.pprof: `go tool pprof -top FILE`.
func (r *rig) profile(ctx context.Context, k kase, folder string, p plan) error {
	s := r.servers[pillion]
	if err := profiler(ctx, s, "y"); err != nil {
		return err
	}
	_, err := k.load(ctx, r, s.ports[k.service], p.load)
	if err := errors.Join(err, profiler(ctx, s, "n")); err != nil {
		return err
	}
	taken, err := os.ReadFile(filepath.Join(r.dir, pillion+".pprof"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, k.name+".pprof"), taken, 0o644)
}

func profiler(ctx context.Context, s *server, enable string) error {
	url := fmt.Sprintf("http://%s/cpuprofiler?enable=%s", local(s.ports["admin"]), enable)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the proxy's profiler: %s %s", response.Status, text)
	}
	return err
}
