package agent

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/agent/appdial"
	"github.com/pillion-mesh/pillion/internal/agent/probe"
	"github.com/pillion-mesh/pillion/internal/agent/scrape"
)

// joinApplication makes what calls the application: probes and scrapes. Mistakes in what the injector wrote down are
// logged and don't keep the pod from starting.
func (a *Agent) joinApplication() {
	s := a.settings
	probes, err := probe.Parse(s.Probers)
	if err != nil {
		a.log.Error(err, "Probes that can't be read fail")
	}
	a.probes = probe.NewHandler(probes, probe.Options{
		Dial: a.dialer(), KeepAlive: s.ProbeKeepAlive, HTTP1: !s.ProbeHTTP2, Log: a.log,
	})
	targets, err := scrape.Targets(s.PrometheusAnnotations, s.ScrapeTargets, s.OwnPorts())
	if err != nil {
		a.log.Error(err, "Some metrics of the application are left out")
	}
	a.scraper = a.newScraper(targets)
}

func (a *Agent) dialer() *appdial.Dialer {
	return &appdial.Dialer{Pod: a.settings.appAddress(), OwnPorts: a.settings.OwnPorts(), LocalAddrs: net.InterfaceAddrs}
}

// appAddress is where the application is called: where the kubelet would, or on loopback if the user wants it as old
// meshes did it.
func (s Settings) appAddress() netip.Addr {
	pod, err := netip.ParseAddr(s.PodIP)
	switch {
	case err != nil || s.ProbeLoopback && pod.Unmap().Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case s.ProbeLoopback:
		return netip.IPv6Loopback()
	}
	return pod.Unmap()
}

// probe answers /app-health/ and /app-lifecycle/.
func (a *Agent) probe(w http.ResponseWriter, r *http.Request) { a.probes.ServeHTTP(w, r) }
