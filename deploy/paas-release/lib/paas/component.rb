# frozen_string_literal: true

require 'erb'
require 'pathname'
require 'socket'
require 'paas/shell'

module Paas
  RELEASE = Pathname.new(__dir__).realpath.parent.parent

  # Defines a component: the block of a job's control.rb is the body of its class.
  def self.component(name, &body)
    kind = Class.new(Component, &body)
    kind.define_method(:name) { name }
    Component.known[name] = kind
  end

  # One component on this host, with its places. A control.rb says how it starts.
  class Component
    include Shell

    # How long a process has to end by itself.
    STOP_SECONDS = 10
    # Which route's address is this host's own; nothing is sent there.
    OUTWARDS = '198.41.0.4'

    def self.known
      @known ||= {}
    end

    # The component of that name, from its job's folder.
    def self.load_job(name)
      load RELEASE.join('jobs', name, 'control.rb').to_s
      known.fetch(name).new
    end

    attr_reader :target, :package, :vcap_sys_dir, :config_file, :pid_file

    def initialize
      home = Pathname.new(ENV.fetch('HOME'))
      @target = home + 'build_dir/target'
      @package = @target + name
      @vcap_sys_dir = home + 'vcap/sys'
      %w[log run config data socket].each { |part| (@vcap_sys_dir + part).mkpath }
      @config_file = @vcap_sys_dir + "config/#{name}.yml"
      @pid_file = @vcap_sys_dir + "run/#{name}.pid"
    end

    def stop
      end_process
    end

    def restart
      stop
      start
    end

    def status
      puts "#{name}\t[#{running?}]"
    end

    private

    # Names by which the templates know things.
    alias release_dir target
    public :target

    def vcap_sys_log = vcap_sys_dir + 'log'
    def vcap_sys_data = vcap_sys_dir + 'data'
    def vcap_sys_socket = vcap_sys_dir + 'socket'
    def vcap_sys_config = vcap_sys_dir + 'config'
    def log_file = vcap_sys_log + "#{name}.log"

    # Whether uaa and cc make their databases anew.
    def first_run? = !config_file.exist?

    # The address of the route outwards.
    def local_ip
      UDPSocket.open do |probe|
        probe.connect(OUTWARDS, 1)
        probe.addr(false).last
      end
    end

    # Writes the configuration anew from the job's template.
    def render(template)
      text = RELEASE.join('jobs', name, template).read
      config_file.write(ERB.new(text).result(binding))
    end

    # Where a service's own two outputs go.
    def outputs(called = name)
      ">>#{vcap_sys_log}/#{called}.stdout.log 2>>#{vcap_sys_log}/#{called}.stderr.log"
    end

    # Says so where it runs already; the running one keeps its configuration then.
    def running_already?(called = name.tr('_', ' '))
      return false unless running?

      puts "#{called} already running, pid is #{pid}"
      true
    end

    def running? = !pid.nil? && File.exist?("/proc/#{pid}")

    # What the pid file says; 0 where that is no number.
    def pid
      pid_file.read.to_i if pid_file.exist?
    end

    def end_process(as: nil)
      ending = pid
      return unless ending

      run "#{as} kill #{ending}"
      (STOP_SECONDS * 10).times do
        return unless File.exist?("/proc/#{ending}")

        sleep 0.1
      end
      run "#{as} kill -9 #{ending}"
    end
  end
end
