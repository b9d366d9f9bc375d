import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManagerBuilder;
import org.camunda.bpm.client.ExternalTaskClient;

/** The Java client as a subject of the bench: told everything by the environment, its result is one JSON file. */
public final class Drain {
  private static final String ANSWER = System.getenv("ANSWER");
  private static final int EXPECT = Integer.parseInt(System.getenv("EXPECT"));
  private static final int SLOTS = Integer.parseInt(System.getenv("SLOTS"));
  private static final double MODEL_SECONDS = Double.parseDouble(System.getenv("MODEL_SECONDS"));

  private record Mark(double at, double cpu, int polls, int completions) {}

  private final AtomicInteger completions = new AtomicInteger();
  private final Map<String, Double> fetched = new ConcurrentHashMap<>();
  private final Map<String, Double> slept = new ConcurrentHashMap<>();
  private final Map<String, Double> completed = new ConcurrentHashMap<>();
  private final CountDownLatch missing = new CountDownLatch(EXPECT);

  // Only the client's one thread polls and hands tasks out; it has no hook for a poll's reply but the first task of it.
  private int polls;
  private Mark polled;
  private Double replied;
  private Mark first;

  public static void main(String[] arguments) throws Exception {
    new Drain().run();
  }

  private void run() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(SLOTS);
    Semaphore slots = new Semaphore(SLOTS);
    ExternalTaskClient client =
        ExternalTaskClient.create()
            .baseUrl(System.getenv("URL"))
            .workerId("java")
            .maxTasks(SLOTS)
            .lockDuration(45_000)
            .asyncResponseTimeout(1000)
            .usePriority(false)
            .orderByCreateTime()
            .asc()
            .disableBackoffStrategy()
            .disableAutoFetching()
            .addInterceptor(request -> count())
            .customizeHttpClient(
                http ->
                    http.setConnectionManager(
                        PoolingHttpClientConnectionManagerBuilder.create()
                            .setMaxConnPerRoute(SLOTS + 1)
                            .setMaxConnTotal(SLOTS + 1)
                            .build()))
            .build();
    client
        .subscribe(System.getenv("TOPIC"))
        .handler(
            (task, service) -> {
              brought(task.getId());
              slots.acquireUninterruptibly();
              pool.execute(
                  () -> {
                    try {
                      double asked = now();
                      think();
                      slept.put(task.getId(), now() - asked);
                      service.complete(task, Map.of("answer", ANSWER));
                      completed.put(task.getId(), now());
                      missing.countDown();
                    } catch (RuntimeException failed) {
                      failed.printStackTrace();
                      System.exit(1);
                    } finally {
                      slots.release();
                    }
                  });
            })
        .open();
    client.start();
    missing.await();
    Files.writeString(Path.of(System.getenv("OUT")), result());
    client.stop(); // and wait for its last poll, which would take the next subject's tasks
    System.exit(0);
  }

  private void count() {
    if (Thread.currentThread().getName().startsWith("TopicSubscriptionManager")) {
      polled = mark();
      polls += 1;
      replied = null;
    } else {
      completions.incrementAndGet();
    }
  }

  private void brought(String id) {
    if (first == null) {
      first = polled;
    }
    if (replied == null) {
      replied = now();
    }
    fetched.put(id, replied);
  }

  private static void think() {
    try {
      Thread.sleep((long) (1000 * MODEL_SECONDS));
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  private String result() throws Exception {
    Mark last = mark();
    List<Double> ends = completed.values().stream().sorted().toList();
    double end = ends.get(ends.size() - 1);
    Collection<Double> own =
        completed.keySet().stream().map(id -> completed.get(id) - fetched.get(id) - slept.get(id)).toList();
    return """
        {"tasks": %d, "since_first_fetch_seconds": %s, "since_first_completion_seconds": %s, "cpu_seconds": %s,
        "peak_bytes": %d, "requests": {"poll": %d, "complete": %d}, "own_seconds": %s}
        """
        .formatted(
            ends.size(),
            end - first.at,
            end - ends.get(0),
            last.cpu - first.cpu,
            peakBytes(),
            last.polls - first.polls,
            last.completions - first.completions,
            own);
  }

  private Mark mark() {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return new Mark(now(), system.getProcessCpuTime() / 1e9, polls, completions.get());
  }

  private static double now() {
    return System.nanoTime() / 1e9;
  }

  private static long peakBytes() throws Exception {
    return Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(line -> line.startsWith("VmHWM:"))
        .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
        .findFirst()
        .getAsLong();
  }
}
