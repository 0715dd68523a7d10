Paas.component 'dea_ng' do
  # The applications' own Ruby, inside of their containers, and the dea's.
  def dea_ruby = '/usr/bin/ruby'
  def ruby_path = "#{target}/ruby/bin"

  def start
    return if running_already?('dea_ng')

    render 'dea.yml.erb'
    run "rm #{pid_file}"
    inside(package) { bundle_exec "bin/dea #{config_file} #{outputs} &" }
  end
end
