package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// listeners lists all listeners with their addresses, those without a socket too.
func (a *api) listeners(w http.ResponseWriter, r *http.Request) {
	list := slices.SortedFunc(a.Runtime().Listeners, func(x, y *config.Listener) int { return cmp.Compare(x.Name, y.Name) })
	switch form := r.URL.Query().Get("format"); form {
	case "", "text":
		var b strings.Builder
		for _, l := range list {
			for _, address := range l.Addresses {
				fmt.Fprintf(&b, "%s::%s\n", l.Name, address)
			}
		}
		_, _ = w.Write([]byte(b.String()))
	case "json":
		indented(w, listenersOf(list))
	default:
		failWith(w, badRequest("the format "+strconv.Quote(form)+" is not text or json"))
	}
}

// The messages of envoy.admin.v3.Listeners, as protojson writes them.
type (
	listenersJSON struct {
		Statuses []listenerJSON `json:"listener_statuses,omitempty"`
	}
	listenerJSON struct {
		Name       string        `json:"name"`
		Address    *addressJSON  `json:"local_address,omitempty"`
		Additional []addressJSON `json:"additional_local_addresses,omitempty"`
	}
)

func listenersOf(list []*config.Listener) (all listenersJSON) {
	for _, l := range list {
		status := listenerJSON{Name: l.Name}
		for i, address := range l.Addresses {
			if i == 0 {
				status.Address = &addressJSON{Socket: socketOf(address)}
				continue
			}
			status.Additional = append(status.Additional, addressJSON{Socket: socketOf(address)})
		}
		all.Statuses = append(all.Statuses, status)
	}
	return all
}

func socketOf(a netip.AddrPort) *socketJSON { return &socketJSON{a.Addr().String(), a.Port()} }
