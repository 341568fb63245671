package xds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestIstiod decodes resources as istiod sends them; the golden files are what was read and approved by eye.
func TestIstiod(t *testing.T) {
	files, err := filepath.Glob("testdata/istiod/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	if *update {
		_ = os.MkdirAll("testdata/golden", 0o755)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			value, needs, err := decodeAs(t, name, istiod(t, name))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, map[string]any{"value": value, "needs": needs, "cells": inlineCells(value)})
		})
	}
}

// inlineCells are the values of cells that came with the resource: JSON doesn't look into cells.
func inlineCells(value any) (out []any) {
	switch v := value.(type) {
	case *config.Listener:
		for _, c := range v.Chains {
			if c.HTTP != nil && c.HTTP.RouteName == "" {
				out = append(out, c.HTTP.Routes.Load())
			}
		}
	case *config.Cluster:
		if v.Endpoints != nil && v.Endpoints.Load() != nil {
			out = append(out, v.Endpoints.Load())
		}
	}
	return out
}

// decodeAs decodes a text by the kind its name begins with.
func decodeAs(t testing.TB, name, text string) (any, Needs, error) {
	kind, _, _ := strings.Cut(name, "_")
	switch kind {
	case "listener":
		v, n, err := Listener(listenerYAML(t, text), nil)
		return v, n, err
	case "cluster":
		v, n, err := Cluster(clusterYAML(t, text), nil)
		return v, n, err
	case "routes":
		v, n, err := Routes(routesYAML(t, text))
		return v, n, err
	case "endpoints":
		v, n, err := Endpoints(endpointsYAML(t, text))
		return v, n, err
	default:
		v, err := Bootstrap([]byte(text))
		return v, Needs{}, err
	}
}
