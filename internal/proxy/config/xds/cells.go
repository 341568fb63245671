package xds

import (
	"errors"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Files reads a file that a data source names.
type Files func(name string) ([]byte, error)

// Cells supplies the cells that resources by that name are (or will be) stored in: the same cell for the same name. It
// also reads files that inline certificates name.
type Cells interface {
	Routes(name string) *config.Cell[config.RouteTable]
	Endpoints(name string) *config.Cell[config.Endpoints]
	Certificate(name string) *config.Cell[config.Certificate]
	Trust(name string) *config.Cell[config.Trust]
	Filter(name string) *config.Cell[config.HTTPFilter]
	File(name string) ([]byte, error)
}

// Fresh supplies empty cells that nobody shares: for validation and tests.
type Fresh struct{ Files Files }

var errNoFiles = errors.New("files aren't read here")

// Routes returns an empty cell.
func (Fresh) Routes(string) *config.Cell[config.RouteTable] { return &config.Cell[config.RouteTable]{} }

// Endpoints returns an empty cell.
func (Fresh) Endpoints(string) *config.Cell[config.Endpoints] {
	return &config.Cell[config.Endpoints]{}
}

// Certificate returns an empty cell.
func (Fresh) Certificate(string) *config.Cell[config.Certificate] {
	return &config.Cell[config.Certificate]{}
}

// Trust returns an empty cell.
func (Fresh) Trust(string) *config.Cell[config.Trust] { return &config.Cell[config.Trust]{} }

// Filter returns an empty cell.
func (Fresh) Filter(string) *config.Cell[config.HTTPFilter] { return &config.Cell[config.HTTPFilter]{} }

// File reads the file by Files; without it, it fails.
func (f Fresh) File(name string) ([]byte, error) {
	if f.Files == nil {
		return nil, errNoFiles
	}
	return f.Files(name)
}
