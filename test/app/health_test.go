package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestHealth: each kind of question is answered and remembered, and fails when told to.
func TestHealth(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"health", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, writer, io.Discard)
		_ = writer.Close()
	}()
	var at struct{ HTTP, HTTPS, TCP string }
	decoder := json.NewDecoder(reader)
	if err := decoder.Decode(&at); err != nil {
		t.Fatal(err)
	}
	printed := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.MultiReader(decoder.Buffered(), reader))
		printed <- string(text)
	}()
	connection, err := net.Dial("tcp", at.TCP)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(connection) // until it is counted
	_ = connection.Close()
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for range 2 {
		if got, want := checkGRPC(t, at.HTTP), byte(1); got != want {
			t.Errorf("the health status is %d, want %d", got, want)
		}
	}
	fetch(t, insecure, "https://"+at.HTTPS+"/ready", 200)
	fetch(t, http.DefaultClient, "http://"+at.HTTP+"/fail/ready", 200)
	fetch(t, http.DefaultClient, "http://"+at.HTTP+"/ready", 503)
	fetch(t, http.DefaultClient, "http://"+at.HTTP+"/fail/grpc shop", 200)
	if got := checkGRPC(t, at.HTTP); got != 2 {
		t.Errorf("the health status is %d, want 2: it was told to fail", got)
	}
	var asked map[string]string
	if err := json.Unmarshal(fetch(t, http.DefaultClient, "http://"+at.HTTP+"/asked", 200), &asked); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(asked)); !slices.Equal(got, []string{"grpc shop", "ready", "tcp"}) {
		t.Errorf("asked: %q", got)
	}
	if text := string(fetch(t, http.DefaultClient, "http://"+at.HTTP+"/metrics", 200)); !strings.Contains(text, `app_asked_total{name="grpc shop"} 3`) {
		t.Errorf("metrics: %s", text)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exits with %d", got)
	}
	lines := strings.Split(strings.TrimSpace(<-printed), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], `{"asked":"tcp","from":"127.0.0.1:`) || lines[3] != `{"ending":true}` {
		t.Errorf("printed %q, want a line for each of three questions, and the end", lines)
	}
}

func fetch(t *testing.T, c *http.Client, url string, want int) []byte {
	t.Helper()
	response, err := c.Get(strings.ReplaceAll(url, " ", "%20"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Fatalf("%s: %s, %v; want %d", url, response.Status, err, want)
	}
	return body
}

// checkGRPC asks for the service "shop" and returns its status.
func checkGRPC(t *testing.T, address string) byte {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	request := []byte{0, 0, 0, 0, 6, 1<<3 | 2, 4, 's', 'h', 'o', 'p'}
	response, err := (&http.Client{Transport: transport}).Post("http://"+address+"/grpc.health.v1.Health/Check", "application/grpc", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || len(body) != 7 || response.Trailer.Get("Grpc-Status") != "0" {
		t.Fatalf("answer %v, trailers %v, %v", body, response.Trailer, err)
	}
	return body[6]
}
