package testenv

import (
	"context"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pillion-mesh/pillion/test/cluster/images"
)

const loadTimeout = 5 * time.Minute // the first build of the binaries included

// LoadImage makes img known to the node as name (localhost/…:tag). The same content isn't imported twice.
func (c *Cluster) LoadImage(t testing.TB, name string, img v1.Image) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	if err := c.LoadImages(ctx, images.Named{Name: name, Image: img}); err != nil {
		t.Fatal(err)
	}
}

// LoadApp builds and loads localhost/app:1, the tests' own application.
func (c *Cluster) LoadApp(t testing.TB) {
	t.Helper()
	c.load(t, func(ctx context.Context) ([]images.Named, error) {
		app, err := images.App(ctx)
		return []images.Named{app}, err
	})
}

// LoadProject builds and loads all images of this checkout: operator, sidecar, app.
func (c *Cluster) LoadProject(t testing.TB) {
	t.Helper()
	c.load(t, images.All)
}

func (c *Cluster) load(t testing.TB, build func(context.Context) ([]images.Named, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	all, err := build(ctx)
	if err == nil {
		err = c.LoadImages(ctx, all...)
	}
	if err != nil {
		t.Fatal(err)
	}
}
